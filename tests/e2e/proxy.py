"""A proxy between the two sides that can hold or drop an answer at the moment it passes, or be a bad network."""

import asyncio
import contextlib
import itertools
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

CHUNK = 65536
REQUEST_LINE = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n")
REPEATED_WITHIN = 10
"""Seconds that the answer to a second delivery may take; nobody reads it."""

LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


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


class Mishap(Enum):
    """What a network does to one request."""

    CUT = auto()
    """It is answered, and the answer never arrives."""

    TORN = auto()
    """Half of the answer arrives."""

    AGAIN = auto()
    """It is delivered a second time after it was answered."""

    AT_ONCE = auto()
    """It is delivered twice at the same time."""


@dataclass(slots=True, kw_only=True)
class Network:
    """Has a mishap with a share of the requests, while it is bad."""

    dice: random.Random
    share: float
    is_bad: bool = True
    mishaps: int = 0

    def mishap(self) -> Mishap | None:
        if not self.is_bad or self.dice.random() >= self.share:
            return None
        self.mishaps += 1
        return self.dice.choice(list(Mishap))


@dataclass(slots=True)
class Exchange:
    """One request on a connection, until its answer begins."""

    request: tuple[str, str] | None = None
    mishap: Mishap | None = None
    sent: bytearray = field(default_factory=bytearray)

    @property
    def is_whole(self) -> bool:
        head, end, body = bytes(self.sent).partition(b"\r\n\r\n")
        found = LENGTH.search(head + b"\r\n")
        return bool(end) and len(body) >= (int(found[1]) if found else 0)


class Proxy:
    """Passes bytes on, one connection at a time to one upstream connection; of several upstreams to each in turn."""

    def __init__(self, *upstream_ports: int, network: Network | None = None) -> None:
        self.upstream_ports = itertools.cycle(upstream_ports)
        self.upstreams = len(upstream_ports)
        self.network = network
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
            port, up_reader, up_writer = await self._upstream()
            exchange = Exchange()
            asking = asyncio.ensure_future(self._ask(reader, up_writer, exchange, port))
            answering = asyncio.ensure_future(self._answer(up_reader, writer, exchange, port))
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            for each in (asking, answering):
                each.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            up_writer.close()
        writer.close()

    async def _upstream(self) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the next upstream that listens."""
        for last in range(1, self.upstreams + 1):
            port = next(self.upstream_ports)
            try:
                return port, *await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if last == self.upstreams:
                    raise
        raise AssertionError("there is an upstream")

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        exchange: Exchange,
        port: int,
    ) -> None:
        while data := await reader.read(CHUNK):
            if found := REQUEST_LINE.match(data):
                exchange.request = (found[1].decode(), found[2].decode())
                exchange.mishap = self.network.mishap() if self.network else None
                exchange.sent.clear()
                self.requests.append(exchange.request)
            exchange.sent += data
            upstream.write(data)
            if exchange.mishap is Mishap.AT_ONCE and exchange.is_whole:
                exchange.mishap = None
                await self._repeat(bytes(exchange.sent), port)
            await upstream.drain()

    async def _answer(
        self,
        upstream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        exchange: Exchange,
        port: int,
    ) -> None:
        while data := await upstream.read(CHUNK):
            request, exchange.request = exchange.request, None
            if request and await self._spring(request) is DROP:
                return
            mishap, exchange.mishap = exchange.mishap, None
            if mishap is Mishap.CUT:
                return
            if mishap is Mishap.AGAIN:
                await self._repeat(bytes(exchange.sent), port)
            writer.write(data[: len(data) // 2] if mishap is Mishap.TORN else data)
            await writer.drain()
            if mishap is Mishap.TORN:
                return

    async def _repeat(self, sent: bytes, port: int) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(REPEATED_WITHIN):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(sent)
                    await reader.read(CHUNK)
                finally:
                    writer.close()

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
