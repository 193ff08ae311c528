"""Runs of a thread, and runs with a thread of their own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from agent_service import auth, bootstrap
from agent_service.api import answers, payloads, repeating, streams
from agent_service.api.dependencies import Follower, FollowerOfNew, Reader, Services, Writer
from agent_service.api.errors import Responses, problems_for
from agent_service.api.submissions import OnItsOwn, OnThread
from agent_service.engine import run
from shared_schemas import tokens

router = APIRouter(tags=["runs"], route_class=repeating.Route)

_CREATE = problems_for(404, 409, 413, 415, 429)
_FIND = problems_for(404)
_FOLLOW = problems_for(404, 429)
_EVENTS: Responses = {200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}}
_VALUES: Responses = {200: {"description": "The thread's values", "content": {"application/json": {}}}}

_STOPPED: Responses = {204: {"description": "The run has stopped"}}

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]
Select = Annotated[list[answers.RunField], Query(max_length=20)]
StreamModes = Annotated[list[str], Query(alias="stream_mode", max_length=20)]


@router.post("/threads/{thread_id}/runs", responses=_CREATE)  # noqa: FAST003 - OnThread takes it
async def create_run(submitted: OnThread, response: Response) -> answers.Run:
    """Queue a run. Repeating the request with the same idempotency key returns the same run."""
    response.headers.update(streams.location(submitted.run, "join"))
    return answers.Run.of(submitted.run)


@router.post(
    "/threads/{thread_id}/runs/stream",  # noqa: FAST003 - OnThread takes it
    responses=_CREATE | _EVENTS,
    response_class=StreamingResponse,
)
async def create_and_stream_run(follower: FollowerOfNew, submitted: OnThread) -> StreamingResponse:
    """Queue a run and follow its events."""
    return follower.events(
        submitted.run, expected=submitted.expected, cancel_on_disconnect=submitted.cancel_on_disconnect
    )


@router.post(
    "/threads/{thread_id}/runs/wait",  # noqa: FAST003 - OnThread takes it
    responses=_CREATE | _VALUES,
    response_class=StreamingResponse,
)
async def create_and_wait_for_run(follower: FollowerOfNew, submitted: OnThread) -> StreamingResponse:
    """Queue a run and answer with the thread's values when it has ended."""
    return follower.result(
        submitted.run, expected=submitted.expected, cancel_on_disconnect=submitted.cancel_on_disconnect
    )


@router.post("/runs", responses=_CREATE)
async def create_stateless_run(submitted: OnItsOwn, response: Response) -> answers.Run:
    """Queue a run on a thread of its own."""
    response.headers.update(streams.location(submitted.run, "join"))
    return answers.Run.of(submitted.run)


@router.post("/runs/stream", responses=_CREATE | _EVENTS, response_class=StreamingResponse)
async def create_and_stream_stateless_run(follower: FollowerOfNew, submitted: OnItsOwn) -> StreamingResponse:
    """Queue a run on a thread of its own and follow its events."""
    return follower.events(
        submitted.run, expected=submitted.expected, cancel_on_disconnect=submitted.cancel_on_disconnect
    )


@router.post("/runs/wait", responses=_CREATE | _VALUES, response_class=StreamingResponse)
async def create_and_wait_for_stateless_run(
    follower: FollowerOfNew, submitted: OnItsOwn
) -> StreamingResponse:
    """Queue a run on a thread of its own and answer with its values when it has ended."""
    return follower.result(
        submitted.run, expected=submitted.expected, cancel_on_disconnect=submitted.cancel_on_disconnect
    )


@router.get("/threads/{thread_id}/runs", responses=_FIND)
async def list_runs(
    thread_id: UUID,
    caller: Reader,
    services: Services,
    *,
    limit: payloads.Limit = 10,
    offset: payloads.Offset = 0,
    status: run.RunStatus | None = None,
    select: Select = [],  # noqa: B006 - FastAPI gives each request its own
) -> list[answers.Run] | list[answers.Json]:
    """Return the thread's runs, newest first; with `select`, those fields of them."""
    rows = await services.repository.runs(
        thread_id, owner=caller.subject, status=status, limit=limit, offset=offset
    )
    found = [answers.Run.of(row) for row in rows]
    return [item.only(select) for item in found] if select else found


@router.get("/threads/{thread_id}/runs/{run_id}", responses=_FIND)
async def get_run(thread_id: UUID, run_id: UUID, caller: Reader, services: Services) -> answers.Run:
    """Return a run."""
    return answers.Run.of(await services.repository.run(run_id, thread_id=thread_id, owner=caller.subject))


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204, responses=problems_for(404, 409))
async def delete_run(thread_id: UUID, run_id: UUID, caller: Writer, services: Services) -> None:
    """Delete a run that has ended, with its events; what it made of its thread stays."""
    await services.queue.delete(run_id, thread_id=thread_id, owner=caller.subject, by_person=caller.is_person)


@router.get(
    "/threads/{thread_id}/runs/{run_id}/join", responses=_FOLLOW | _VALUES, response_class=StreamingResponse
)
async def join_run(
    thread_id: UUID,
    run_id: UUID,
    caller: Reader,
    services: Services,
    follower: Follower,
    *,
    cancel_on_disconnect: bool = False,
) -> StreamingResponse:
    """Answer with the thread's values when the run has ended."""
    await _may_cancel(services, caller, thread_id, cancel_on_disconnect=cancel_on_disconnect)
    row = await services.repository.run(run_id, thread_id=thread_id, owner=caller.subject)
    return follower.result(row, cancel_on_disconnect=cancel_on_disconnect)


@router.get(
    "/threads/{thread_id}/runs/{run_id}/stream", responses=_FOLLOW | _EVENTS, response_class=StreamingResponse
)
async def join_run_stream(
    thread_id: UUID,
    run_id: UUID,
    caller: Reader,
    services: Services,
    follower: Follower,
    *,
    stream_mode: StreamModes = [],  # noqa: B006 - FastAPI gives each request its own
    last_event_id: LastEventId = None,
    cancel_on_disconnect: bool = False,
) -> StreamingResponse:
    """Follow the run's events behind `Last-Event-ID`, from the start without it."""
    await _may_cancel(services, caller, thread_id, cancel_on_disconnect=cancel_on_disconnect)
    after, modes = streams.parse_last_event_id(last_event_id), streams.parse_modes(stream_mode)
    row = await services.repository.run(run_id, thread_id=thread_id, owner=caller.subject)
    return follower.events(row, after=after, modes=modes, cancel_on_disconnect=cancel_on_disconnect)


@router.post(
    "/threads/{thread_id}/runs/{run_id}/cancel",
    status_code=202,
    response_class=Response,
    responses=problems_for(404, 409) | _STOPPED,
)
async def cancel_run(
    thread_id: UUID,
    run_id: UUID,
    caller: Writer,
    services: Services,
    follower: Follower,
    *,
    wait: bool = False,
    action: run.CancelAction = run.CancelAction.INTERRUPT,
) -> Response:
    """Ask for the run's end; with `wait`, answer when it has ended."""
    row = await services.queue.cancel(
        run_id, thread_id=thread_id, owner=caller.subject, by_person=caller.is_person, action=action
    )
    if not wait:
        return Response(status_code=202)
    await follower.end_of(row)
    return Response(status_code=204)


async def _may_cancel(
    services: bootstrap.Services, caller: auth.Caller, thread_id: UUID, *, cancel_on_disconnect: bool
) -> None:
    if not cancel_on_disconnect:
        return
    caller.require(tokens.Scope.RUNS_WRITE)
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    caller.require_change(is_mandated=thread.mandated)
