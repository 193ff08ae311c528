"""Connections that are cut, and a service that stops, while a client follows a thread."""

import asyncio
import contextlib

import langgraph_sdk
import pytest

from agent_service import app
from tests import serving


class Wire:
    """Passes bytes on to a service, until somebody cuts it."""

    def __init__(self, port):
        self.port = port
        self.writers = set()

    async def carry(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers |= {writer, back}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pump(reader, back), pump(there, writer))

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def wire_to(url):
    wire = Wire(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    try:
        yield wire, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        wire.cut()
        server.close()


@pytest.fixture(params=["sse", "websocket"])
def follow(request, token):
    """Return a function that opens a thread's stream at an address."""
    headers = {"Authorization": f"Bearer {token()}"}

    @contextlib.asynccontextmanager
    async def open_stream(url, assistant_id, thread_id=None):
        async with (
            langgraph_sdk.get_client(url=url, headers=headers, api_key=None) as client,
            client.threads.stream(
                thread_id, assistant_id=assistant_id, transport=request.param, headers=headers
            ) as thread,
        ):
            yield thread

    return open_stream


async def asked(thread):
    async for _ in thread.values:
        pass
    (interrupt,) = thread.interrupts
    return {"interrupt_id": interrupt["interrupt_id"], "namespace": interrupt["namespace"], "response": "yes"}


async def test_a_cut_connection_loses_nothing(service, follow, command):
    async with wire_to(service.url) as (wire, url), follow(url, "asking") as thread:
        await thread.run.start(input={"text": "Sure?"})
        answer = await asked(thread)

        wire.cut()
        await command(thread.thread_id, "input.respond", **answer)

        assert (await thread.output)["answers"] == ["yes"]


class Kept:
    """Remembers in which loop the application lives."""

    def __init__(self, application):
        self.application = application
        self.loop = None

    async def __call__(self, scope, receive, send):
        self.loop = self.loop or asyncio.get_running_loop()
        await self.application(scope, receive, send)


async def test_who_follows_goes_on_at_another_service(service, settings, follow, command):
    other = app.create_app(settings, with_worker=False)
    kept = Kept(other)
    with contextlib.ExitStack() as stack:
        leaving = stack.enter_context(serving.serving(kept))
        async with wire_to(leaving) as (wire, url), follow(url, "asking") as thread:
            await thread.run.start(input={"text": "Sure?"})
            answer = await asked(thread)

            wire.port = int(service.url.rpartition(":")[2])
            kept.loop.call_soon_threadsafe(other.state.stopping.set)
            await asyncio.to_thread(stack.close)
            await command(thread.thread_id, "input.respond", **answer)

            assert (await thread.output)["answers"] == ["yes"]
