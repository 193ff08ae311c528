"""Answers that last as long as a run: its events, or its result at the end."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import structlog
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.types import Message, Receive, Scope, Send

from agent_service import bootstrap, database, exceptions
from agent_service.api import errors, payloads, seats
from agent_service.engine import run
from agent_service.events import log, sse, telling
from shared_schemas.problems import ErrorCode, Failure

ERROR = "__error__"
INTERRUPT = "__interrupt__"
"""Where LangGraph's clients look for them in a run's result."""

_log = structlog.get_logger(__name__)

CHUNK_BYTES = 64 * 1024
"""Frames that come together are sent together up to so many."""

CONTROL_EVENTS = frozenset({"metadata", "error", "feedback", telling.END})
"""They belong to every stream, whatever modes it asks for."""


class Following(StreamingResponse):
    """A streaming answer that closes what it reads from, however the client went away.

    A client that does not read is left to itself after a while: nothing is kept for it but one chunk.
    """

    seat: AbstractContextManager[None] = nullcontext()
    """What it takes for as long as it lasts, if there is one left."""

    patience = timedelta(seconds=30)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.seat)
            except exceptions.RequestError as full:
                await errors.problem(full.code, full.detail)(scope, receive, send)
                return
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(self.patience.total_seconds()) as clock:
                clocks.append(clock)
                await send(message)

        clocks: deque[asyncio.Timeout] = deque(maxlen=1)
        async with aclosing(cast("AsyncGenerator[bytes]", self.body_iterator)):
            try:
                await super().stream_response(send_soon)
            except TimeoutError:
                if not clocks[-1].expired():
                    raise
                _log.info("stream.dropped", reason="The client did not read.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Follows runs until they end, or until the service stops."""

    services: bootstrap.Services
    seats: seats.Seats
    caller: str
    stopping: asyncio.Event
    has_seat: bool = False
    """One of the caller's is kept for the answer."""

    def events(
        self,
        row: run.Run,
        *,
        after: int = 0,
        modes: frozenset[str] = frozenset(),
        expected: telling.Expected | None = None,
        cancel_on_disconnect: bool = False,
    ) -> StreamingResponse:
        """Return the run's events behind `after`; an empty `modes` is all that the run emits."""
        frames = _frames(self.services.events.pages(row.run_id, after=after, expected=expected), modes)
        answer = Following(
            self._keep_alive(frames, sse.HEARTBEAT),
            media_type=sse.MEDIA_TYPE,
            headers=sse.HEADERS | location(row, "stream"),
            background=BackgroundTask(self._cancel, row) if cancel_on_disconnect else None,
        )
        return self.seated(answer, row.run_id)

    def thread(self, frames: AsyncIterator[bytes], thread_id: UUID) -> StreamingResponse:
        """Return frames of a thread's runs for as long as they come."""
        answer = Following(
            self._keep_alive(frames, sse.HEARTBEAT), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS
        )
        return self.seated(answer, thread_id)

    def result(
        self, row: run.Run, *, expected: telling.Expected | None = None, cancel_on_disconnect: bool = False
    ) -> StreamingResponse:
        """Return the thread's values once the run has ended, behind a newline now and then."""
        answer = Following(
            self._keep_alive(self._result(row, expected), sse.NEWLINE),
            media_type="application/json",
            headers={"Cache-Control": "no-store"} | location(row, "join"),
            background=BackgroundTask(self._cancel, row) if cancel_on_disconnect else None,
        )
        return self.seated(answer, row.run_id)

    def seated(self, answer: Following, subject: UUID) -> Following:
        """Let an answer count among those about a run or thread, and be dropped when nobody reads it."""
        seat = self.seats.about(subject) if self.has_seat else self.seats.taken(subject, caller=self.caller)
        answer.seat = seat
        answer.patience = self.services.settings.stream_patience
        return answer

    async def end_of(self, row: run.Run, expected: telling.Expected | None = None) -> None:
        """Wait until the run has ended, or was taken back."""
        if not row.ended:
            await self.services.events.ended(row.run_id, expected=expected)

    def _keep_alive(self, chunks: AsyncIterator[bytes], beat: bytes) -> AsyncIterator[bytes]:
        every = self.services.settings.stream_heartbeat
        return sse.keep_alive(chunks, beat=beat, every=every, stop=self.stopping)

    async def _result(self, row: run.Run, expected: telling.Expected | None) -> AsyncIterator[bytes]:
        try:
            await self.end_of(row, expected)
            yield orjson.dumps(await database.patiently(lambda: self._outcome(row)))
        except exceptions.RequestError as gone:
            yield orjson.dumps(_error(gone))

    async def _outcome(self, row: run.Run) -> Any:
        result = await self.services.repository.result(row.run_id)
        if result is None:
            return await self._without_result(row)
        if result.error is not None:
            return _error(result.error)
        interrupts = [interrupt for pending in result.interrupts.values() for interrupt in pending]
        if not interrupts:
            return result.values
        return (result.values if isinstance(result.values, dict) else {}) | {INTERRUPT: interrupts}

    async def _without_result(self, row: run.Run) -> Any:
        """Return what is known of a run whose result is kept no longer, or that was rolled back."""
        ended = await self.services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
        if ended.error is not None:
            return _error(ended.error)
        thread = await self.services.repository.thread(row.thread_id, owner=row.owner)
        return thread.values

    async def _cancel(self, row: run.Run) -> None:
        # Runs after the answer ended, whoever ended it; a service that stops leaves its runs to another one.
        if not self.stopping.is_set():
            with suppress(exceptions.RequestError):
                await self.services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)


def _error(failure: Failure | exceptions.RequestError) -> dict[str, Any]:
    message = failure.message if isinstance(failure, Failure) else failure.detail
    return {ERROR: {"error": failure.code, "message": message}}


def location(row: run.Run, following: str) -> dict[str, str]:
    """Return the headers by which a client knows the run, and where it reconnects."""
    path = f"/threads/{row.thread_id}/runs/{row.run_id}"
    return {"Content-Location": path, "Location": f"{path}/{following}"}


def parse_last_event_id(header: str | None) -> int:
    """Return the sequence that a client has seen.

    Raises:
        RequestError: it is no id of ours.
    """
    if header is None or header.strip() in {"", sse.FROM_THE_START}:
        return 0
    if not (header.isascii() and header.isdigit() and len(header) <= 18):  # noqa: PLR2004 - fits a bigint
        raise exceptions.RequestError(
            ErrorCode.INVALID_REQUEST,
            "'Last-Event-ID' must be an id of the run's stream, or -1 for its start.",
        )
    return int(header)


def parse_modes(values: Sequence[str]) -> frozenset[str]:
    """Return the stream modes of a query: repeated parameters, or one JSON array as JavaScript sends it.

    Raises:
        RequestError: one of them is no stream mode.
    """
    named = [mode for value in values for mode in split_modes(value) if mode]
    unknown = set(named) - set(payloads.StreamMode)
    if unknown:
        raise exceptions.RequestError(
            ErrorCode.INVALID_REQUEST, f"Unknown stream modes: {sorted(unknown)!r}."
        )
    return frozenset(named)


def split_modes(value: str) -> list[str]:
    """Return the modes of one parameter: its value, or those of a JSON array."""
    if not value.startswith("["):
        return [value]
    try:
        modes = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    return [str(mode) for mode in modes]


async def _frames(
    pages: AsyncGenerator[list[telling.RunEvent]], modes: frozenset[str]
) -> AsyncIterator[bytes]:
    """Yield the frames of each page in large chunks."""
    wanted = {_event_name(mode) for mode in modes}
    async with aclosing(pages):
        async for page in pages:
            chunk = bytearray()
            for event in page:
                kind = log.kind_of(event.event)
                if not wanted or kind in wanted or kind in CONTROL_EVENTS:
                    chunk += sse.frame(event.event, event.data, event_id=str(event.seq))
                if len(chunk) > CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk.clear()
            if chunk:
                yield bytes(chunk)


def _event_name(mode: str) -> str:
    return "messages" if mode == payloads.StreamMode.MESSAGES_TUPLE else mode
