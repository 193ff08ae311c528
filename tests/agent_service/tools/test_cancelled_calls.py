"""A node that fails has LangGraph cancel the calls of the others, more than once."""

import asyncio
import gc
from contextlib import suppress
from datetime import timedelta

import httpx
import pytest

from agent_service.tools import client
from tests.agent_service import cancelling

CALLS = 210
"""More than the client has connections."""

ANSWER = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"


class Django:
    """Answers nothing before it is told to."""

    def __init__(self):
        self.reached = asyncio.Semaphore(0)
        self.answers = asyncio.Event()
        self.serving = []
        self.writers = []

    async def serve(self, reader, writer):
        self.serving.append(asyncio.current_task())
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.reached.release()
                await self.answers.wait()
                writer.write(ANSWER)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def break_off(self):
        for writer in self.writers:
            writer.transport.abort()


@pytest.fixture
def slow():
    return Django()


@pytest.fixture
async def calling(slow, signing_key):
    server = await asyncio.start_server(slow.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    async with client.open_client(
        django_url=address, signing_key=signing_key, answer_within=timedelta(seconds=20)
    ) as opened:
        yield opened
    slow.answers.set()
    await asyncio.gather(*slow.serving)
    server.close()


async def test_cancelled_calls_leave_their_connections_to_others(slow, calling):
    async with asyncio.timeout(60):
        for _ in range(CALLS):
            slow.answers.clear()
            call = asyncio.create_task(calling.send("GET", "/"))
            await slow.reached.acquire()
            await cancelling.cancel_as_langgraph_does(call)
            slow.answers.set()

        answer = await calling.send("GET", "/")

    assert answer.status_code == httpx.codes.NO_CONTENT


async def test_a_client_that_closes_gives_up_what_nobody_waits_for(slow, calling):
    call = asyncio.create_task(calling.send("GET", "/"))
    await slow.reached.acquire()
    await cancelling.cancel_as_langgraph_does(call)

    await calling.drop_requests()

    assert not calling.underway


async def test_a_request_that_fails_when_nobody_waits_any_more_is_no_fault_of_the_process(slow, calling):
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))
    call = asyncio.create_task(calling.send("GET", "/"))
    await slow.reached.acquire()
    await cancelling.cancel_as_langgraph_does(call)
    [left] = calling.underway

    slow.break_off()
    await asyncio.wait([left])
    del call, left
    gc.collect()

    assert faults == []
