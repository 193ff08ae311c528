"""Follows a run for one person: its status from Django, its events from the agent service, in one order.

An event's id is `{segment}-{the agent service's id}`. Whoever comes back with the last one they saw gets
exactly the rest, across segments. A `status` event has no id: the current one is told to everybody who comes.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AbstractUser
from django.db import connection
from langgraph_sdk.schema import StreamPart

from mandate import agent_client, exceptions, notifications
from mandate.models.run import AT_WORK
from mandate.selectors import runs as selectors
from shared_schemas.problems import ErrorCode

HEARTBEAT = 15
"""Seconds of silence until a comment is sent, and until the run is read again without having been told."""

_RETRY = 2

_INTERNAL = frozenset({"metadata", "end"})
"""About one segment, not about the run."""

_MAX_DIGITS = 10
"""Of a segment's number."""

_COMMENT = ": heartbeat\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The last event that somebody saw."""

    segment: int = 1
    event_id: str = agent_client.FROM_THE_START

    @classmethod
    def parse(cls, last_event_id: str | None) -> Self:
        """Read the header `Last-Event-ID`.

        Raises:
            RequestRefused: INVALID_REQUEST, it is not one of ours.
        """
        if last_event_id is None:
            return cls()
        segment, _, event_id = last_event_id.partition("-")
        is_number = segment.isascii() and segment.isdigit() and len(segment) < _MAX_DIGITS
        if not (is_number and event_id.isprintable() and event_id):
            raise exceptions.RequestRefused(
                ErrorCode.INVALID_REQUEST, f"No event of a run has the id {last_event_id!r}."
            )
        return cls(segment=max(int(segment), 1), event_id=event_id)


async def follow(
    run_id: UUID, *, thread_id: UUID, acting_for: AbstractUser, after: Position
) -> AsyncGenerator[str]:
    """Yield server-sent events until the run has ended."""
    async with notifications.board().watching(str(run_id)) as changed:
        follower = _Follower(run_id, thread_id, acting_for, after, changed)
        async with aclosing(follower.frames()) as frames:
            async for frame in frames:
                yield frame


class _Follower:
    def __init__(
        self, run_id: UUID, thread_id: UUID, acting_for: AbstractUser, after: Position, changed: asyncio.Event
    ) -> None:
        self._run_id = run_id
        self._thread_id = thread_id
        self._acting_for = acting_for
        self._segment = after.segment
        self._last = after.event_id
        self._changed = changed
        self._told: selectors.Progress | None = None
        self._run: selectors.Progress

    async def frames(self) -> AsyncGenerator[str]:
        while True:
            await self._read()
            if self._segment <= len(self._run.agent_run_ids):
                agent_run_id = self._run.agent_run_ids[self._segment - 1]
                async with aclosing(self._segment_frames(agent_run_id)) as frames:
                    async for frame in frames:
                        yield frame
                self._segment, self._last = self._segment + 1, agent_client.FROM_THE_START
                continue
            for frame in self._news():
                yield frame
            if self._run.is_ended:
                return
            if not await self._wait(HEARTBEAT):
                yield _COMMENT

    async def _segment_frames(self, agent_run_id: UUID) -> AsyncGenerator[str]:
        """Yield a segment's events to their end; a broken stream is taken up again where it broke."""
        while True:
            parts = agent_client.events(
                thread_id=self._thread_id,
                agent_run_id=agent_run_id,
                acting_for=self._acting_for,
                after=self._last,
            )
            try:
                async with aclosing(self._live_frames(parts)) as frames:
                    async for frame in frames:
                        yield frame
            except exceptions.DeliveryFailed as error:
                await self._read()
                if error.permanent or self._run.is_ended:
                    return
                yield _COMMENT
                await self._wait(_RETRY)
            else:
                return

    async def _live_frames(self, parts: AsyncGenerator[StreamPart]) -> AsyncGenerator[str]:
        for frame in self._news(while_streaming=True):
            yield frame
        async with aclosing(_interleaved(parts, self._changed)) as both:
            async for part in both:
                if part is None:
                    silent = not self._changed.is_set()
                    await self._read()
                    if silent and self._run.is_ended:
                        return
                    for frame in [*self._news(while_streaming=True), *([_COMMENT] if silent else [])]:
                        yield frame
                elif frame := self._passed_on(part):
                    yield frame

    def _passed_on(self, part: StreamPart) -> str:
        self._last = part.id or self._last
        if part.event in _INTERNAL:
            return ""
        return _frame(part.event, part.data, f"{self._segment}-{self._last}")

    def _news(self, *, while_streaming: bool = False) -> list[str]:
        """Return the status if it is new. An end, or a wait, is told after the last event that led to it."""
        current = self._run
        ahead = while_streaming and current.status not in AT_WORK
        if ahead or (
            self._told and (self._told.status, self._told.failure) == (current.status, current.failure)
        ):
            return []
        self._told = current
        failure = current.failure.model_dump(mode="json") if current.failure else None
        return [
            _frame("status", {"run_id": str(self._run_id), "status": current.status, "error": failure}, None)
        ]

    async def _read(self) -> None:
        # Cleared first: what changes while we read is read again.
        self._changed.clear()
        self._run = await _progress(self._run_id)

    async def _wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._changed.wait()
        except TimeoutError:
            return False


async def _interleaved(
    parts: AsyncGenerator[StreamPart], changed: asyncio.Event
) -> AsyncGenerator[StreamPart | None]:
    """Yield each part, and `None` when something changed or nothing came for a while."""
    coming: asyncio.Future[StreamPart] = asyncio.ensure_future(anext(parts))
    change: asyncio.Future[bool] = asyncio.ensure_future(changed.wait())
    try:
        while True:
            both: set[asyncio.Future[Any]] = {coming, change}
            done, _ = await asyncio.wait(both, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if change in done or not done:
                yield None
            if change in done:
                change = asyncio.ensure_future(changed.wait())
            if coming in done:
                try:
                    yield coming.result()
                except StopAsyncIteration:
                    return
                coming = asyncio.ensure_future(anext(parts))
    finally:
        coming.cancel()
        change.cancel()
        await asyncio.gather(coming, change, return_exceptions=True)
        await parts.aclose()


# Not in the request's own thread: a stream would keep that one, and its connection, for as long as it lasts.
@sync_to_async(thread_sensitive=False)
def _progress(run_id: UUID) -> selectors.Progress:
    try:
        return selectors.progress(run_id)
    finally:
        connection.close()


def _frame(event: str, data: Any, event_id: str | None) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event}\ndata: {text}\n" + (f"id: {event_id}\n\n" if event_id else "\n")
