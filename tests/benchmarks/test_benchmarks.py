import asyncio
import json

import pytest

from tests.benchmarks import __main__ as benchmark
from tests.benchmarks import load, requests

MEDIANS = {
    1: {"plain": 100.0, "call": 70.0, "replay": 95.0},
    8: {"plain": 200.0, "call": 110.0, "replay": 170.0},
}


@pytest.fixture
def answering():
    """Rates one client of a server that gives every request the same answer."""

    async def ask(answer):
        async def serve(reader, writer):
            while await reader.read(10_000):
                writer.write(answer)
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await load.rate(port, [lambda: requests.post("/", {}, "x")], seconds=0.02)

    return ask


def test_each_number_of_clients_is_held_to_the_floor_and_the_worst_replay():
    figures = {figure.name: figure for figure in benchmark.figures_of(MEDIANS)}

    assert {name: figure.ratio for name, figure in figures.items()} == {
        "ledger.calls.c1": 0.7,
        "ledger.calls.c8": 0.55,
        "ledger.replay": 0.85,
    }
    assert [name for name, figure in figures.items() if figure.is_met] == ["ledger.calls.c1"]


def test_figures_of_other_benchmarks_are_kept(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text('[{"name": "stream.first"}, {"name": "ledger.replay"}]')

    benchmark.keep(benchmark.figures_of(MEDIANS), file)

    names = [figure["name"] for figure in json.loads(file.read_text())]
    assert names == ["stream.first", "ledger.calls.c1", "ledger.calls.c8", "ledger.replay"]


async def test_answers_are_counted(answering):
    assert await answering(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok") > 0


async def test_an_error_is_no_answer(answering):
    with pytest.raises(load.UnexpectedAnswerError, match="busy"):
        await answering(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
