"""Runs of a thread, and runs with a thread of their own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from agent_service import auth
from agent_service.api import answers, payloads, streams
from agent_service.api.dependencies import Follower, Reader, Services, Writer
from agent_service.api.errors import Responses, problems_for
from agent_service.api.submissions import OnItsOwn, OnThread
from agent_service.engine import run
from shared_schemas import tokens

router = APIRouter(tags=["runs"])

_CREATE = problems_for(404, 409, 413, 415)
_FIND = problems_for(404)
_EVENTS: Responses = {200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}}
_VALUES: Responses = {200: {"description": "The thread's values", "content": {"application/json": {}}}}

_STOPPED: Responses = {204: {"description": "The run has stopped"}}

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]
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
async def create_and_stream_run(submitted: OnThread, follower: Follower) -> StreamingResponse:
    """Queue a run and follow its events."""
    return follower.events(submitted.run, cancel_on_disconnect=submitted.cancel_on_disconnect)


@router.post(
    "/threads/{thread_id}/runs/wait",  # noqa: FAST003 - OnThread takes it
    responses=_CREATE | _VALUES,
    response_class=StreamingResponse,
)
async def create_and_wait_for_run(submitted: OnThread, follower: Follower) -> StreamingResponse:
    """Queue a run and answer with the thread's values when it has ended."""
    return follower.result(submitted.run, cancel_on_disconnect=submitted.cancel_on_disconnect)


@router.post("/runs", responses=_CREATE)
async def create_stateless_run(submitted: OnItsOwn, response: Response) -> answers.Run:
    """Queue a run on a thread of its own."""
    response.headers.update(streams.location(submitted.run, "join"))
    return answers.Run.of(submitted.run)


@router.post("/runs/stream", responses=_CREATE | _EVENTS, response_class=StreamingResponse)
async def create_and_stream_stateless_run(submitted: OnItsOwn, follower: Follower) -> StreamingResponse:
    """Queue a run on a thread of its own and follow its events."""
    return follower.events(submitted.run, cancel_on_disconnect=submitted.cancel_on_disconnect)


@router.post("/runs/wait", responses=_CREATE | _VALUES, response_class=StreamingResponse)
async def create_and_wait_for_stateless_run(submitted: OnItsOwn, follower: Follower) -> StreamingResponse:
    """Queue a run on a thread of its own and answer with its values when it has ended."""
    return follower.result(submitted.run, cancel_on_disconnect=submitted.cancel_on_disconnect)


@router.get("/threads/{thread_id}/runs", responses=_FIND)
async def list_runs(
    thread_id: UUID,
    caller: Reader,
    services: Services,
    *,
    limit: payloads.Limit = 10,
    offset: payloads.Offset = 0,
    status: run.RunStatus | None = None,
) -> list[answers.Run]:
    """Return the thread's runs, newest first."""
    rows = await services.repository.runs(
        thread_id, owner=caller.subject, status=status, limit=limit, offset=offset
    )
    return [answers.Run.of(row) for row in rows]


@router.get("/threads/{thread_id}/runs/{run_id}", responses=_FIND)
async def get_run(thread_id: UUID, run_id: UUID, caller: Reader, services: Services) -> answers.Run:
    """Return a run."""
    return answers.Run.of(await services.repository.run(run_id, thread_id=thread_id, owner=caller.subject))


@router.get(
    "/threads/{thread_id}/runs/{run_id}/join", responses=_FIND | _VALUES, response_class=StreamingResponse
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
    _may_cancel(caller, cancel_on_disconnect=cancel_on_disconnect)
    row = await services.repository.run(run_id, thread_id=thread_id, owner=caller.subject)
    return follower.result(row, cancel_on_disconnect=cancel_on_disconnect)


@router.get(
    "/threads/{thread_id}/runs/{run_id}/stream", responses=_FIND | _EVENTS, response_class=StreamingResponse
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
    _may_cancel(caller, cancel_on_disconnect=cancel_on_disconnect)
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
    row = await services.queue.cancel(run_id, thread_id=thread_id, owner=caller.subject, action=action)
    if not wait:
        return Response(status_code=202)
    await follower.end_of(row)
    return Response(status_code=204)


def _may_cancel(caller: auth.Caller, *, cancel_on_disconnect: bool) -> None:
    if cancel_on_disconnect:
        caller.require(tokens.Scope.RUNS_WRITE)
