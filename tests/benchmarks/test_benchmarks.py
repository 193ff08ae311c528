import asyncio
import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks import engine, figures, ledger, load, measuring, pages, requests

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
    found = {figure.name: figure for figure in ledger.figures_of(MEDIANS)}

    assert {name: figure.ratio for name, figure in found.items()} == {
        "ledger.calls.c1": 0.7,
        "ledger.calls.c8": 0.55,
        "ledger.replay": 0.85,
    }
    met = [name for name, figure in found.items() if ledger.TARGETS[name].is_met_by(figure)]
    assert met == ["ledger.calls.c1"]


def test_figures_of_other_benchmarks_are_kept(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text('[{"name": "stream.first"}, {"name": "ledger.replay"}]')

    figures.keep(ledger.figures_of(MEDIANS), file)

    names = [figure["name"] for figure in json.loads(file.read_text())]
    assert names == ["stream.first", "ledger.calls.c1", "ledger.calls.c8", "ledger.replay"]


async def test_answers_are_counted(answering):
    assert await answering(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok") > 0


async def test_an_error_is_no_answer(answering):
    with pytest.raises(load.UnexpectedAnswerError, match="busy"):
        await answering(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nbusy")


@pytest.mark.timeout(300)
def test_the_engine_is_measured_beside_its_floor(tmp_path):
    wanted = frozenset({"runs.idle.noop4", "stream.first_event", "stream.first_token"})
    found = []

    engine.run(tmp_path / "bench", wanted, found.extend, rounds=1)

    assert {figure.name for figure in found} == wanted
    assert all(figure.value > 0 and figure.floor > 0 for figure in found)


@pytest.mark.timeout(300)
def test_pages_are_measured_beside_an_empty_list(tmp_path):
    found = []

    pages.run(tmp_path / "bench", frozenset(pages.TARGETS), found.extend, rounds=1)

    ratio, first, wall, queries = found
    assert tuple(figure.name for figure in found) == tuple(pages.TARGETS)
    assert ratio.value == first.value > 0
    assert ratio.floor > 0
    assert wall.value > 0
    assert queries.value == queries.floor


def test_the_processor_time_of_children_counts():
    before = measuring.cpu_seconds([os.getpid()])

    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)

    assert measuring.cpu_seconds([os.getpid()]) - before > 0.05


def test_a_figure_without_a_floor_is_judged_by_itself():
    failed = figures.Figure(name="inflight.2000.failed", value=1, unit="runs")

    assert not engine.TARGETS[failed.name].is_met_by(failed)
