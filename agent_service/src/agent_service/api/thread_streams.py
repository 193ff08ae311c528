"""One stream of all the runs of a thread, over their boundaries."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from agent_service import exceptions
from agent_service.api import repeating, streams
from agent_service.api.dependencies import Follower, Reader, Services
from agent_service.api.errors import Responses, problems_for
from agent_service.events import sse, telling, threads
from shared_schemas.problems import ErrorCode

router = APIRouter(tags=["threads"], route_class=repeating.Route)

_EVENTS: Responses = {200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}}

Modes = Annotated[list[str], Query(max_length=20)]


class Mode(StrEnum):
    """What a thread's stream shows."""

    RUN_MODES = "run_modes"
    """What the runs show."""

    LIFECYCLE = "lifecycle"
    """That runs begin and end."""

    STATE_UPDATE = "state_update"
    """States as they become; what runs show as `values`."""


@router.get(
    "/threads/{thread_id}/stream", responses=problems_for(404) | _EVENTS, response_class=StreamingResponse
)
async def join_thread_stream(
    thread_id: UUID,
    caller: Reader,
    services: Services,
    follower: Follower,
    *,
    stream_mode: Modes = [],  # noqa: B006 - FastAPI gives each request its own
    stream_modes: Modes = [],  # noqa: B006
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
) -> StreamingResponse:
    """Follow the thread's runs behind `Last-Event-ID`; without it, from its first unfinished run on."""
    modes, after = _parse_modes([*stream_mode, *stream_modes]), _parse_place(last_event_id)
    await services.repository.thread(thread_id, owner=caller.subject)
    if after is None:
        after = await threads.now(services.events, thread_id)
    return follower.thread(_frames(threads.read(services.events, thread_id, after=after), modes), thread_id)


async def _frames(events: AsyncIterator[threads.ThreadEvent], modes: frozenset[Mode]) -> AsyncIterator[bytes]:
    async for event in events:
        name, data = event.item.event, event.item.data
        if name == telling.END:
            # A client ends its stream with a run's `end`; this one goes on.
            name, data = "metadata", _done(event.item.run_id)
        if _is_wanted(name, modes):
            yield sse.frame(name, data, event_id=f"{event.place.ordinal}-{event.place.seq}")


def _done(run_id: UUID) -> str:
    return orjson.dumps({"status": "run_done", "run_id": run_id}).decode()


def _is_wanted(name: str, modes: frozenset[Mode]) -> bool:
    return (
        Mode.RUN_MODES in modes
        or (Mode.LIFECYCLE in modes and name in {"metadata", "error"})
        or (Mode.STATE_UPDATE in modes and name == "values")
    )


def _parse_place(header: str | None) -> threads.Place | None:
    if header is None or not header.strip():
        return None
    if header.strip() in {sse.FROM_THE_START, "-"}:
        return threads.START
    numbers = header.strip().split("-")
    if len(numbers) != 2 or not all(  # noqa: PLR2004 - the run and the event
        number.isascii() and number.isdigit() and len(number) <= 18  # noqa: PLR2004 - fits a bigint
        for number in numbers
    ):
        raise exceptions.RequestError(
            ErrorCode.INVALID_REQUEST,
            "'Last-Event-ID' must be an id of the thread's stream, or -1 for its start.",
        )
    return threads.Place(int(numbers[0]), int(numbers[1]))


def _parse_modes(values: list[str]) -> frozenset[Mode]:
    named = [mode for value in values for mode in streams.split_modes(value) if mode]
    try:
        return frozenset(Mode(mode) for mode in named) or frozenset({Mode.RUN_MODES})
    except ValueError as error:
        raise exceptions.RequestError(ErrorCode.INVALID_REQUEST, f"Unknown stream mode: {error}.") from None
