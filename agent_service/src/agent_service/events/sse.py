"""Server-sent events as LangGraph's clients read them, and how an idle answer shows that it lives."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

HEARTBEAT = b": heartbeat\r\n\r\n"
NEWLINE = b"\n"
"""The heartbeat of a JSON answer: white space before the value."""

FROM_THE_START = "-1"


def frame(event: str, data: str, *, event_id: str | None = None) -> bytes:
    """Return one event. `data` is JSON on one line."""
    last = "" if event_id is None else f"id: {event_id}\r\n"
    return f"event: {event}\r\ndata: {data}\r\n{last}\r\n".encode()


async def keep_alive(
    chunks: AsyncIterator[bytes], *, beat: bytes, every: timedelta, stop: asyncio.Event
) -> AsyncIterator[bytes]:
    """Yield the chunks, and `beat` whenever none came for so long; end early when `stop` is set."""
    stopped = asyncio.ensure_future(stop.wait())
    following = asyncio.ensure_future(anext(chunks, None))
    try:
        while not stopped.done():
            await asyncio.wait(
                {following, stopped}, timeout=every.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            if not following.done():
                if not stopped.done():
                    yield beat
            elif (chunk := following.result()) is None:
                return
            else:
                following = asyncio.ensure_future(anext(chunks, None))
                yield chunk
    finally:
        await _abandon(stopped, following)


async def _abandon(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
