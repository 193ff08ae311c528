import asyncio
from datetime import timedelta

import pytest
from langgraph_sdk import sse as official

from agent_service.events import sse

SOON, NEVER = timedelta(milliseconds=5), timedelta(hours=1)


def read_as_a_client(body):
    decoder = official.SSEDecoder()
    lines = official.BytesLineDecoder()
    parts = (decoder.decode(line) for line in lines.decode(body))
    return [part for part in parts if part is not None]


async def chunks_of(*chunks):
    for chunk in chunks:
        yield chunk


async def silence():
    await asyncio.Event().wait()
    yield b"never"


@pytest.fixture
def stop():
    return asyncio.Event()


def test_a_frame_is_what_the_official_client_reads():
    body = sse.frame("values", '{"a":"\\n"}', event_id="4") + sse.frame("updates|ns", "null")

    parts = read_as_a_client(body)

    assert [(part.event, part.data, part.id) for part in parts] == [
        ("values", {"a": "\n"}, "4"),
        ("updates|ns", None, "4"),
    ]


def test_a_heartbeat_is_no_event():
    parts = read_as_a_client(sse.HEARTBEAT + sse.frame("end", "null"))

    assert [part.event for part in parts] == ["end"]


async def test_chunks_come_through_in_order_until_their_end(stop):
    body = sse.keep_alive(chunks_of(b"1", b"2", b"3"), beat=b".", every=NEVER, stop=stop)

    assert [chunk async for chunk in body] == [b"1", b"2", b"3"]


async def test_silence_is_filled_with_beats(stop):
    body = sse.keep_alive(silence(), beat=b".", every=SOON, stop=stop)

    beats = [await anext(body) for _ in range(3)]

    assert beats == [b".", b".", b"."]
    await body.aclose()


async def test_a_stop_ends_a_silent_stream(stop):
    body = sse.keep_alive(silence(), beat=b".", every=NEVER, stop=stop)
    reading = asyncio.ensure_future(anext(body, None))

    stop.set()

    assert await reading is None


async def test_an_abandoned_stream_closes_its_source(stop):
    closed = asyncio.Event()

    async def source():
        try:
            yield b"1"
            await asyncio.Event().wait()
        finally:
            closed.set()

    body = sse.keep_alive(source(), beat=b".", every=NEVER, stop=stop)
    await anext(body)

    await body.aclose()

    assert closed.is_set()


async def test_a_source_that_fails_fails_the_stream(stop):
    async def source():
        yield b"1"
        raise ConnectionError

    body = sse.keep_alive(source(), beat=b".", every=NEVER, stop=stop)
    await anext(body)

    with pytest.raises(ConnectionError):
        await anext(body)
