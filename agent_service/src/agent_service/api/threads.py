"""Threads and their state."""

import uuid
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response

from agent_service import auth, bootstrap
from agent_service.api import answers, payloads, states
from agent_service.api.dependencies import Idempotency, Reader, Services, Writer
from agent_service.api.errors import Responses, problems_for

router = APIRouter(prefix="/threads", tags=["threads"])

_FIND = problems_for(404)
_NOTHING: Responses = {204: {"description": "Done"}}
_EMPTY = payloads.ThreadCreate()
_EVERY = payloads.ThreadSearch()

Prefer = Annotated[str, Header()]


@router.post("", responses=problems_for(409, 413, 415))
async def create_thread(
    caller: Writer, services: Services, idempotency: Idempotency, body: payloads.ThreadCreate = _EMPTY
) -> answers.Thread:
    """Create a thread, or with `if_exists: do_nothing` return the one that is there."""
    thread = await services.repository.create_thread(
        thread_id=body.thread_id or uuid.uuid4(),
        owner=caller.subject,
        metadata=body.metadata or {},
        may_exist=body.if_exists == "do_nothing",
        idempotency=idempotency,
    )
    return answers.Thread.model_validate(thread)


@router.post("/search", responses=problems_for(413, 415))
async def search_threads(
    caller: Reader, services: Services, body: payloads.ThreadSearch = _EVERY
) -> list[answers.Thread]:
    """Return the caller's threads whose metadata holds all that is asked for, latest first."""
    found = await services.repository.threads(
        owner=caller.subject,
        metadata=body.metadata or {},
        status=body.status,
        limit=body.limit,
        offset=body.offset,
    )
    return [answers.Thread.model_validate(thread) for thread in found]


@router.get("/{thread_id}", responses=_FIND)
async def get_thread(thread_id: UUID, caller: Reader, services: Services) -> answers.Thread:
    """Return a thread with the state that its last run left."""
    return answers.Thread.model_validate(await services.repository.thread(thread_id, owner=caller.subject))


@router.patch("/{thread_id}", responses=problems_for(404, 413, 415) | _NOTHING, response_model=answers.Thread)
async def update_thread(
    thread_id: UUID, body: payloads.ThreadPatch, caller: Writer, services: Services, prefer: Prefer = ""
) -> answers.Thread | Response:
    """Merge metadata into the thread's."""
    await _check_change(services, caller, thread_id)
    thread = await services.repository.update_thread(
        thread_id, owner=caller.subject, metadata=body.metadata or {}
    )
    if prefer.strip().lower() == "return=minimal":
        return Response(status_code=204)
    return answers.Thread.model_validate(thread)


@router.delete("/{thread_id}", status_code=204, responses=problems_for(404, 409))
async def delete_thread(thread_id: UUID, caller: Writer, services: Services) -> None:
    """Delete a thread with its runs, their events and its checkpoints."""
    await _check_change(services, caller, thread_id)
    await services.repository.delete_thread(thread_id, owner=caller.subject)


@router.get("/{thread_id}/state", responses=_FIND)
async def get_state(
    thread_id: UUID, caller: Reader, services: Services, *, subgraphs: bool = False
) -> answers.ThreadState:
    """Return the thread's latest state."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    return await states.read(services, thread, subgraphs=subgraphs)


@router.get("/{thread_id}/state/{checkpoint_id}", responses=_FIND)
async def get_state_at(
    thread_id: UUID, checkpoint_id: UUID, caller: Reader, services: Services, *, subgraphs: bool = False
) -> answers.ThreadState:
    """Return the thread's state at a checkpoint."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    checkpoint = payloads.Checkpoint(checkpoint_id=str(checkpoint_id))
    return await states.read(services, thread, checkpoint=checkpoint, subgraphs=subgraphs)


@router.post("/{thread_id}/state/checkpoint", responses=problems_for(404, 413, 415))
async def get_state_at_checkpoint(
    thread_id: UUID, body: payloads.StateRead, caller: Reader, services: Services
) -> answers.ThreadState:
    """Return the thread's state at a checkpoint, of a subgraph too."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    return await states.read(services, thread, checkpoint=body.checkpoint, subgraphs=body.subgraphs)


@router.post("/{thread_id}/history", responses=problems_for(404, 413, 415))
async def get_history(
    thread_id: UUID, body: payloads.HistoryRead, caller: Reader, services: Services
) -> list[answers.ThreadState]:
    """Return the thread's states, latest first."""
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    return await states.history(services, thread, body)


async def _check_change(services: bootstrap.Services, caller: auth.Caller, thread_id: UUID) -> None:
    if caller.is_person:
        thread = await services.repository.thread(thread_id, owner=caller.subject)
        caller.require_change(is_mandated=thread.mandated)
