"""A proxy between the two sides that can hold or drop an answer at the moment it passes."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK = 65536
REQUEST_LINE = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n")


@dataclass(frozen=True, slots=True)
class Drop:
    """The answer never arrives: the connection is closed in its place."""


DROP = Drop()


@dataclass(slots=True, kw_only=True)
class Trap:
    """Springs once, when the answer to a request of this method and path comes back."""

    method: str
    path: re.Pattern[str]
    then: Callable[[], Drop | None]
    """Runs before the answer is passed on, off the loop; `DROP` closes the connection instead."""

    skip: int = 0
    """How many matching answers pass first."""

    sprung: threading.Event = field(default_factory=threading.Event)

    def spring(self) -> Drop | None:
        """Run to the end, even when the one who waits for the answer is gone by then."""
        try:
            return self.then()
        finally:
            self.sprung.set()


class Proxy:
    """Passes bytes on, one connection at a time to one upstream connection."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self.requests: list[tuple[str, str]] = []
        self._traps: list[Trap] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def trap(self, method: str, path: str, then: Callable[[], Drop | None], *, skip: int = 0) -> Trap:
        """Set a trap; `path` is a regular expression."""
        made = Trap(method=method, path=re.compile(path), then=then, skip=skip)
        self._traps.append(made)
        return made

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
            current: list[tuple[str, str]] = []
            asking = asyncio.ensure_future(self._ask(reader, up_writer, current))
            answering = asyncio.ensure_future(self._answer(up_reader, writer, current))
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            for each in (asking, answering):
                each.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            up_writer.close()
        writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, current: list[tuple[str, str]]
    ) -> None:
        while data := await reader.read(CHUNK):
            if found := REQUEST_LINE.match(data):
                current[:] = [(found[1].decode(), found[2].decode())]
                self.requests.append(current[0])
            upstream.write(data)
            await upstream.drain()

    async def _answer(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, current: list[tuple[str, str]]
    ) -> None:
        while data := await upstream.read(CHUNK):
            request = current.pop() if current else None
            if request and await self._spring(request) is DROP:
                return
            writer.write(data)
            await writer.drain()

    async def _spring(self, request: tuple[str, str]) -> Drop | None:
        method, path = request
        for trap in list(self._traps):
            if trap.method != method or not trap.path.search(path):
                continue
            if trap.skip:
                trap.skip -= 1
                continue
            self._traps.remove(trap)
            return await asyncio.to_thread(trap.spring)
        return None
