"""What a run's page does in a browser, without one: it follows the stream, and fetches the timeline anew.

Two hundred of them in one process must cost less than the server they ask: each request is a connection, and
nothing is parsed that is not looked at.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"completed", "failed", "cancelled"})
QUIET = 0.3
"""Seconds, as in `follow.js`: several events at once fetch the timeline once."""

AWAY = 2.0
"""Seconds, as in `follow.js`, until what Django could not give just now is asked for again."""

STATUS = re.compile(rb'data-status="(\w+)"')
LONGEST_PART = 2**22


class UnavailableError(Exception):
    """Django answered 503."""


@dataclass(slots=True, kw_only=True)
class Page:
    """One open page."""

    port: int
    cookie: str
    run_id: str
    events: list[tuple[str, str]] = field(default_factory=list)
    """Ids and data of what the stream gave, in order."""

    is_over: bool = False
    """The stream has ended; the timeline is fetched once more."""

    shown: str = ""
    """The status that the page shows."""

    async def watch(self) -> None:
        """Open the page and look until the run has ended and the page says so."""
        await self._show(f"/agents/runs/{self.run_id}/")
        due = asyncio.Event()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._refresh(due))
            async with aclosing(self._stream()) as stream:
                async for name, data in stream:
                    if name.split("|")[0] not in {"messages", "retry"}:
                        due.set()
                    if name == "status" and json.loads(data)["status"] in ENDED:
                        break
            self.is_over = True
            due.set()

    async def _refresh(self, due: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            await due.wait()
            await asyncio.sleep(QUIET)
            due.clear()
            is_last = self.is_over
            await self._show(f"/agents/runs/{self.run_id}/timeline/")

    async def _show(self, path: str) -> None:
        while True:
            with suppress(UnavailableError):
                async with aclosing(self._get(path)) as parts:
                    html = b"".join([part async for part in parts])
                self.shown = STATUS.search(html)[1].decode()
                return
            await asyncio.sleep(AWAY)

    async def _stream(self) -> AsyncGenerator[tuple[str, str]]:
        """Yield events; a stream that breaks is taken up again where it broke."""
        while True:
            headers = {"Last-Event-ID": self.events[-1][0]} if self.events else {}
            with suppress(UnavailableError):
                async with aclosing(self._get(f"/api/agents/runs/{self.run_id}/events/", headers)) as parts:
                    async for event in _events(parts):
                        if "id" in event:
                            self.events.append((event["id"], event["data"]))
                        if "data" in event:
                            yield event["event"], event["data"]
                continue
            await asyncio.sleep(AWAY)

    async def _get(self, path: str, headers: dict[str, str] | None = None) -> AsyncGenerator[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LONGEST_PART)
        try:
            fields = {"Host": "127.0.0.1", "Cookie": self.cookie, "Connection": "close"} | (headers or {})
            lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 503"):
                raise UnavailableError
            assert head.startswith(b"HTTP/1.1 200"), head
            is_chunked = b"transfer-encoding: chunked" in head.lower()
            async with aclosing(_chunks(reader) if is_chunked else _rest(reader)) as parts:
                async for part in parts:
                    yield part
        finally:
            writer.close()
            await writer.wait_closed()


async def _rest(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    yield await reader.read()


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _events(parts: AsyncGenerator[bytes]) -> AsyncGenerator[dict[str, Any]]:
    rest = ""
    async for part in parts:
        *frames, rest = (rest + part.decode()).split("\n\n")
        for frame in frames:
            yield dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
