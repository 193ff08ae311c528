"""A client that costs little: keep-alive connections, one request after the other on each."""

import asyncio
import re
import time
from collections.abc import Sequence

from tests.benchmarks import requests

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class UnexpectedAnswerError(Exception):
    """A request was not answered with success, so that its time means nothing."""


async def rate(port: int, clients: Sequence[requests.Next], *, seconds: float) -> float:
    """Return the answers per second that so many clients get at once; each asks once at least."""
    started = time.perf_counter()
    counts = await asyncio.gather(*(_client(port, make, started + seconds) for make in clients))
    return sum(counts) / (time.perf_counter() - started)


async def _client(port: int, make: requests.Next, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    try:
        while not count or time.perf_counter() < until:
            writer.write(make())
            await _answered(reader)
            count += 1
    finally:
        writer.close()
        await writer.wait_closed()
    return count


async def _answered(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    assert found is not None, "Django says how long its answers are"
    body = await reader.readexactly(int(found.group(1)))
    if not head.startswith(b"HTTP/1.1 20"):
        raise UnexpectedAnswerError((head + body).decode(errors="replace"))
