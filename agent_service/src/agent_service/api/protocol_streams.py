"""The agent streaming protocol: what goes on in a thread, as server-sent events that stay open."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from importlib import resources
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Message, Send

from agent_service import bootstrap, database
from agent_service.api import payloads, repeating, streams
from agent_service.api.dependencies import Follower, Reader, Services
from agent_service.api.errors import Responses, problems_for
from agent_service.engine import resumes, rows, run
from agent_service.events import log, protocol, protocol_filter, readers, sse, telling, threads

router = APIRouter(tags=["protocol"], route_class=repeating.Route)

MAX_SEQ = 2**53 - 1
"""What JavaScript counts exactly."""

PATIENCE = timedelta(seconds=2)
"""How long a watcher of a thread that failed waits for a new run, before it is told of the failure."""

_QUERIES = database.load_queries(resources.files("agent_service.events").joinpath("protocol.sql").read_text())
_EVENTS: Responses = {200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}}
_POSITION = re.compile(r"(?:^|:)\d{1,15}-(\d{1,16})$")

_Segment = Annotated[str, Field(max_length=500)]


class Subscription(payloads.Payload):
    """`POST /threads/{thread_id}/stream/events`."""

    channels: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=100)
    """`values`, `updates`, `messages`, `tools`, `lifecycle`, `input`, `checkpoints`, `tasks`, `custom` or
    `custom:name`. One that is not known stays silent."""

    namespaces: list[Annotated[list[_Segment], Field(max_length=50)]] | None = Field(
        default=None, max_length=100
    )
    """Prefixes of the namespaces to see; all without it."""

    depth: int | None = Field(default=None, ge=0, le=1000)
    """How far below a prefix."""

    since: int | None = Field(default=None, ge=0, le=MAX_SEQ)
    """Only what has a higher `seq`."""

    @property
    def filter(self) -> protocol_filter.Filter:
        return protocol_filter.Filter(
            channels=frozenset(self.channels),
            namespaces=tuple(tuple(prefix) for prefix in self.namespaces or ()),
            depth=self.depth,
        )


class ThreadStream(streams.Following):
    """A stream that is cut off when the service stops: on one that ends in order clients do not reconnect."""

    def __init__(self, content: AsyncIterator[bytes], *, stopping: asyncio.Event) -> None:
        super().__init__(content, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
        self.stopping = stopping

    async def stream_response(self, send: Send) -> None:
        async def send_unless_cut_off(message: Message) -> None:
            if message.get("more_body", True) or not self.stopping.is_set():
                await send(message)

        await super().stream_response(send_unless_cut_off)


@router.post(
    "/threads/{thread_id}/stream/events",
    responses=problems_for(404, 413, 415, 429) | _EVENTS,
    response_class=StreamingResponse,
)
async def stream_events(
    thread_id: UUID,
    body: Subscription,
    caller: Reader,
    services: Services,
    follower: Follower,
    *,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)] = None,
) -> StreamingResponse:
    """Follow the thread's events over its runs, from its first or behind `since` or `Last-Event-ID`."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    since = max(body.since or 0, parse_position(last_event_id))
    frames = _frames(read(services, thread.thread_id, wanted=body.filter, since=since))
    every = services.settings.stream_heartbeat
    alive = sse.keep_alive(frames, beat=sse.HEARTBEAT, every=every, stop=follower.stopping)
    return follower.seated(ThreadStream(alive, stopping=follower.stopping), thread.thread_id)


async def read(
    services: bootstrap.Services, thread_id: UUID, *, wanted: protocol_filter.Filter, since: int = 0
) -> AsyncIterator[protocol.Event]:
    """Yield a thread's events behind `since`, then live ones, for as long as the thread is there."""
    watches = wanted.watches and not since
    place = await (_what_goes_on(services, thread_id) if watches else _place(services, thread_id, since))
    translation: protocol.Translation | None = None
    with _counted(services, thread_id, place, wanted) as reader:
        async for item in threads.read(
            services.events, thread_id, after=place, wanted=protocol.rows_for(wanted)
        ):
            row = item.item
            if translation is None or translation.about.run_id != str(row.run_id):
                about = await _about(services, row.run_id)
                if about is None:
                    continue
                translation = protocol.Translation(about=_read_about(about), wanted=wanted)
            ending = None
            if row.event == telling.END:
                ended = await _about(services, row.run_id)
                ending = _ending(ended)
                if watches:
                    await _before_an_end_is_told(services, thread_id, item.place, ended)
            for event in translation.events(row, ending):
                if event.seq > since:
                    yield event
            if reader is not None:
                reader.pass_by(item.place)


def _counted(
    services: bootstrap.Services, thread_id: UUID, place: threads.Place, wanted: protocol_filter.Filter
) -> AbstractContextManager[readers.Reader | None]:
    return services.readers.reading(thread_id, place) if wanted.reads_ends else nullcontext()


async def _before_an_end_is_told(
    services: bootstrap.Services, thread_id: UUID, place: threads.Place, ended: dict[str, Any] | None
) -> None:
    # Both come before it is sent: who reads it may open the next stream, or start the next run, at once.
    if ended is not None and not ended["end_told"]:
        await _tell_end(services, ended["run_id"])
    await services.readers.have_passed(thread_id, place)


async def unannounced(services: bootstrap.Services, thread_id: UUID, ids: Collection[str]) -> set[str]:
    """Return those of the ids that are of no interrupt that the thread waits for or its unfinished runs told of."""
    values = {"thread_id": thread_id, "ids": list(ids)}
    found = await database.read(services.pool, _QUERIES["unannounced"], values)
    return {row["id"] for row in found}


async def number_of(services: bootstrap.Services, row: run.Run) -> int:
    """Return the number of a run within its thread."""
    about = await _about(services, row.run_id)
    return 0 if about is None else int(about["number"])


def parse_position(header: str | None) -> int:
    """Return the number of the event that a client has seen last; 0 for what is no id of ours."""
    found = _POSITION.search(header or "")
    return 0 if found is None else int(found[1])


async def _frames(events: AsyncIterator[protocol.Event]) -> AsyncIterator[bytes]:
    async for event in events:
        yield sse.frame("message", event.wire().decode(), event_id=event.position)


async def _place(services: bootstrap.Services, thread_id: UUID, since: int) -> threads.Place:
    """Return the place before the run that `since` lies in: messages are put together from its start."""
    if not since:
        return threads.START
    row = await _one(services, "place_of", thread_id=thread_id, number=protocol.run_of(since))
    assert row is not None
    if row["ordinal"] is not None:
        return threads.Place(row["ordinal"], 0)
    return threads.START if row["before"] is None else threads.Place(row["before"] + 1, 0)


async def _what_goes_on(services: bootstrap.Services, thread_id: UUID) -> threads.Place:
    """Return the place before the run that matters now.

    Python's client takes the first end that it is told for the end of the run that it starts next. So who
    watches is not told of ends that somebody was told of before, unless nothing else comes: then of a failure.
    """
    # Heard before it is read: a run that is made meanwhile is not missed.
    with services.events.waiting(thread_id) as arrived:
        row = await _one(services, "current", thread_id=thread_id)
        if row is None:
            return threads.START
        here, behind = threads.Place(row["ordinal"], 0), threads.Place(row["ordinal"] + 1, 0)
        asks = row["status"] == run.RunStatus.SUCCESS and row["thread_status"] == run.ThreadStatus.INTERRUPTED
        if row["unfinished"] or asks or not row["end_told"]:
            return here
        if row["status"] == run.RunStatus.SUCCESS:
            return behind
        while await log.wait(arrived, patience=PATIENCE):
            arrived.clear()
            latest = await _one(services, "current", thread_id=thread_id)
            if latest is None or latest["ordinal"] != row["ordinal"]:
                return behind
    return here


async def _about(services: bootstrap.Services, run_id: UUID) -> dict[str, Any] | None:
    return await _one(services, "about", run_id=run_id)


async def _one(services: bootstrap.Services, query: str, **values: object) -> dict[str, Any] | None:
    found = await database.read(services.pool, _QUERIES[query], values)
    return found[0] if found else None


async def _tell_end(services: bootstrap.Services, run_id: UUID) -> None:
    async def tell() -> None:
        async with services.pool.connection() as connection:
            await connection.execute(_QUERIES["end_is_told"], {"run_id": run_id})

    await database.patiently(tell)


def _read_about(row: dict[str, Any]) -> protocol.About:
    payload = rows.payload_from(row["payload"])
    answers: Any = (payload.command or {}).get(resumes.RESUME)
    return protocol.About(
        run_id=str(row["run_id"]),
        number=row["number"],
        graph=row["graph_id"],
        answered=tuple(answers) if resumes.names_interrupts(answers) else (),
        has_checkpoints="checkpoints" in payload.stream_modes,
    )


def _ending(row: dict[str, Any] | None) -> protocol.Ending:
    if row is None:
        return protocol.Ending(cancelled=True)
    return protocol.Ending(
        cancelled=row["status"] == run.RunStatus.INTERRUPTED,
        error=row["error"] and row["error"]["message"],
    )
