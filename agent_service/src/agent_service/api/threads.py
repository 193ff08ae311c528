"""Threads and their state."""

import uuid
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from agent_service.api import answers, extracting, payloads, repeating, states
from agent_service.api.dependencies import Idempotency, Reader, Services, Writer
from agent_service.api.errors import Responses, problems_for
from agent_service.engine import run

router = APIRouter(prefix="/threads", tags=["threads"], route_class=repeating.Route)

_FIND = problems_for(404)
_CHANGE = problems_for(404, 409, 413, 415)
_NOTHING: Responses = {204: {"description": "Done"}}
_EMPTY = payloads.ThreadCreate()
_EVERY = payloads.ThreadSearch()
_ALL = payloads.ThreadCount()
_GIVEN = frozenset({"config", "context"})

Prefer = Annotated[str, Header()]
Include = Annotated[str, Query(max_length=200, description="`ttl`, to be told when the thread goes.")]
Select = Annotated[list[payloads.StateField], Query(max_length=50)]
State = answers.ThreadState | answers.Json


@router.post("", responses=problems_for(404, 409, 413, 415))
async def create_thread(
    caller: Writer, services: Services, idempotency: Idempotency, body: payloads.ThreadCreate = _EMPTY
) -> answers.Thread:
    """Create a thread, or with `if_exists: do_nothing` return the one that is there."""
    named = {} if body.graph_id is None else {"graph_id": body.graph_id}
    new = run.NewThread(
        thread_id=body.thread_id or uuid.uuid4(),
        owner=caller.subject,
        metadata=(body.metadata or {}) | named,
        expiry=body.ttl.kept if body.ttl else None,
    )
    may_exist = body.if_exists == "do_nothing"
    if not body.supersteps:
        made = await services.repository.create_thread(new, may_exist=may_exist, idempotency=idempotency)
        return answers.Thread.model_validate(made)
    steps = [[update.asked for update in step.updates] for step in body.supersteps]
    with_state = await services.threads.create_with(steps, new, idempotency=idempotency)
    return answers.Thread.model_validate(
        with_state
        or await services.repository.thread_that_is_there(new, may_exist=may_exist, idempotency=idempotency)
    )


@router.post("/search", responses=problems_for(413, 415), response_model=list[answers.Thread | answers.Json])
async def search_threads(
    caller: Reader, services: Services, body: payloads.ThreadSearch = _EVERY
) -> list[answers.Thread] | list[answers.Json]:
    """Return the caller's threads whose metadata and values hold all that is asked for, latest first."""
    found = await services.repository.threads(
        body.wanted(caller.subject),
        sort_by=body.sort_by,
        ascending=body.sort_order == "asc",
        limit=body.limit,
        offset=body.offset,
    )
    every = [answers.Thread.model_validate(thread) for thread in found]
    if body.select is None and not body.extract:
        return every
    given: dict[UUID, answers.Json] = {}
    if _GIVEN & set(body.select or ()):
        given = await services.threads.last_given([thread.thread_id for thread in every])
    return [_parts(thread, body, given.get(thread.thread_id, {})) for thread in every]


@router.post("/count", responses=problems_for(413, 415))
async def count_threads(caller: Reader, services: Services, body: payloads.ThreadCount = _ALL) -> int:
    """Return how many of the caller's threads fit."""
    return await services.repository.count_threads(body.wanted(caller.subject))


@router.post("/prune", responses=problems_for(413, 415))
async def prune_threads(body: payloads.ThreadsPrune, caller: Writer, services: Services) -> answers.Pruned:
    """Delete threads, or all but their latest checkpoint. Busy ones are left alone and not counted."""
    pruned = await services.threads.prune(
        body.thread_ids,
        owner=caller.subject,
        by_person=caller.is_person,
        deletes=body.strategy == "delete",
    )
    return answers.Pruned(pruned_count=pruned)


@router.get("/{thread_id}", responses=_FIND, response_model=answers.ThreadWithExpiry | answers.Thread)
async def get_thread(
    thread_id: UUID, caller: Reader, services: Services, include: Include = ""
) -> answers.Thread:
    """Return a thread with the state that its last run left."""
    found = await services.repository.thread(thread_id, owner=caller.subject)
    thread = answers.Thread.model_validate(found)
    if "ttl" not in include.split(","):
        return thread
    return answers.ThreadWithExpiry(**dict(thread), ttl=answers.Expiry.of(found.expiry))


@router.patch("/{thread_id}", responses=problems_for(404, 413, 415) | _NOTHING, response_model=answers.Thread)
async def update_thread(
    thread_id: UUID, body: payloads.ThreadPatch, caller: Writer, services: Services, prefer: Prefer = ""
) -> answers.Thread | Response:
    """Merge metadata into the thread's, and say when it goes."""
    thread = await services.repository.update_thread(
        thread_id,
        owner=caller.subject,
        metadata=body.metadata or {},
        expiry=body.ttl.kept if body.ttl else None,
        by_person=caller.is_person,
    )
    if prefer.strip().lower() == "return=minimal":
        return Response(status_code=204)
    return answers.Thread.model_validate(thread)


@router.delete("/{thread_id}", status_code=204, responses=problems_for(404, 409))
async def delete_thread(thread_id: UUID, caller: Writer, services: Services) -> None:
    """Delete a thread with its runs, their events and its checkpoints."""
    await services.repository.delete_thread(thread_id, owner=caller.subject, by_person=caller.is_person)


@router.post("/{thread_id}/copy", responses=_FIND)
async def copy_thread(thread_id: UUID, caller: Writer, services: Services) -> answers.Thread:
    """Copy a thread with its checkpoints, without its runs."""
    original = await services.repository.thread(thread_id, owner=caller.subject)
    caller.require_change(is_mandated=original.mandated)
    return answers.Thread.model_validate(await services.threads.copy(thread_id, owner=caller.subject))


@router.get("/{thread_id}/state", responses=_FIND, response_model=State)
async def get_state(
    thread_id: UUID,
    caller: Reader,
    services: Services,
    *,
    subgraphs: bool = False,
    select: Select = [],  # noqa: B006 - FastAPI gives each request its own
) -> answers.ThreadState | Response:
    """Return the thread's latest state."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    return _selected(await states.read(services, thread, subgraphs=subgraphs), select)


@router.post("/{thread_id}/state", responses=_CHANGE)
async def update_state(
    thread_id: UUID, body: payloads.StateUpdateRequest, caller: Writer, services: Services
) -> answers.StateUpdated:
    """Change the thread's state as if a node had."""
    after = await services.threads.update_state(
        thread_id, body.asked, owner=caller.subject, by_person=caller.is_person, checkpoint=body.place
    )
    return answers.StateUpdated.model_validate({"checkpoint": answers.Checkpoint.of(after)})


@router.get("/{thread_id}/state/{checkpoint_id}", responses=_FIND, response_model=State)
async def get_state_at(
    thread_id: UUID,
    checkpoint_id: UUID,
    caller: Reader,
    services: Services,
    *,
    subgraphs: bool = False,
    select: Select = [],  # noqa: B006 - FastAPI gives each request its own
) -> answers.ThreadState | Response:
    """Return the thread's state at a checkpoint."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    checkpoint = payloads.Checkpoint(checkpoint_id=str(checkpoint_id))
    return _selected(await states.read(services, thread, checkpoint=checkpoint, subgraphs=subgraphs), select)


@router.post("/{thread_id}/state/checkpoint", responses=problems_for(404, 413, 415), response_model=State)
async def get_state_at_checkpoint(
    thread_id: UUID, body: payloads.StateRead, caller: Reader, services: Services
) -> answers.ThreadState | Response:
    """Return the thread's state at a checkpoint, of a subgraph too."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    state = await states.read(services, thread, checkpoint=body.checkpoint, subgraphs=body.subgraphs)
    return _selected(state, body.select)


@router.post("/{thread_id}/history", responses=problems_for(404, 413, 415), response_model=list[State])
async def get_history(
    thread_id: UUID, body: payloads.HistoryRead, caller: Reader, services: Services
) -> list[answers.ThreadState] | Response:
    """Return the thread's states, latest first."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    found = await states.history(services, thread, body)
    return JSONResponse([state.only(body.select) for state in found]) if body.select else found


def _selected(state: answers.ThreadState, names: list[str] | None) -> answers.ThreadState | Response:
    # As a response: some of a state's fields may look like a whole one, and would be filled up.
    return JSONResponse(state.only(names)) if names else state


def _parts(thread: answers.Thread, asked: payloads.ThreadSearch, given: answers.Json) -> answers.Json:
    whole = thread.model_dump(mode="json")
    chosen: dict[str, Any] = whole if asked.select is None else thread.only(asked.select, given)
    if asked.extract:
        found = {name: extracting.extract(whole, path) for name, path in asked.extract.items()}
        chosen = chosen | {"extracted": found}
    return chosen
