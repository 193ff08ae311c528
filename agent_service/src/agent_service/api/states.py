"""A thread's states at its checkpoints."""

from collections.abc import Iterable
from typing import Any

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, PregelTask, StateSnapshot

from agent_service import bootstrap, exceptions
from agent_service.api import answers, payloads
from agent_service.engine import encoding, looking, run
from agent_service.graphs import registry
from shared_schemas.problems import ErrorCode


async def read(
    services: bootstrap.Services,
    thread: run.Thread,
    *,
    checkpoint: payloads.Checkpoint | None = None,
    subgraphs: bool = False,
) -> answers.ThreadState:
    """Return the thread's state at a checkpoint, at the latest without one.

    Raises:
        RequestError: NOT_FOUND for the checkpoint.
    """
    graph = await _graph(services, thread)
    if graph is None:
        return _nothing_yet(thread, checkpoint)
    try:
        snapshot = await graph.aget_state(_config(thread, checkpoint), subgraphs=subgraphs)
    except ValueError:
        raise _not_found(checkpoint) from None  # LangGraph's word for a subgraph that is not there
    if snapshot.created_at is None and _is_named(checkpoint):
        raise _not_found(checkpoint)
    return _state(snapshot)


def pending(state: answers.ThreadState) -> set[str]:
    """Return the ids of the interrupts of a state, and of the states of subgraphs in it."""
    found = {item["id"] for item in state.interrupts}
    return found.union(*(pending(task.state) for task in state.tasks if task.state))


async def history(
    services: bootstrap.Services, thread: run.Thread, wanted: payloads.HistoryRead
) -> list[answers.ThreadState]:
    """Return the thread's states, latest first."""
    graph = await _graph(services, thread)
    if graph is None:
        return []
    before = (
        payloads.Checkpoint(checkpoint_id=wanted.before) if isinstance(wanted.before, str) else wanted.before
    )
    snapshots = graph.aget_state_history(
        _config(thread, wanted.checkpoint),
        filter=wanted.metadata,
        before=_config(thread, before) if before else None,
        limit=wanted.limit,
    )
    return [_state(snapshot) async for snapshot in snapshots]


async def _graph(services: bootstrap.Services, thread: run.Thread) -> registry.Graph | None:
    # Every run leaves its graph's name on its thread; a thread without one has no state.
    graph = await looking.graph_of(services.registry, thread)
    return None if graph is None else graph.copy({"checkpointer": services.checkpoints.saver()})


def _config(thread: run.Thread, checkpoint: payloads.Checkpoint | None) -> RunnableConfig:
    named = checkpoint.model_dump(exclude_none=True) if checkpoint else {}
    return {"configurable": {"checkpoint_ns": ""} | named | {"thread_id": str(thread.thread_id)}}


def _state(snapshot: StateSnapshot) -> answers.ThreadState:
    here, before = answers.Checkpoint.of(snapshot.config), answers.Checkpoint.of(snapshot.parent_config)
    return answers.ThreadState(
        values=_plain(snapshot.values),
        next=list(snapshot.next),
        tasks=[_task(task) for task in snapshot.tasks],
        metadata=_plain(snapshot.metadata or {}),
        created_at=snapshot.created_at,
        checkpoint=here,
        parent_checkpoint=before,
        interrupts=_interrupts(snapshot.interrupts),
        checkpoint_id=here.checkpoint_id if here else None,
        parent_checkpoint_id=before.checkpoint_id if before else None,
    )


def _task(task: PregelTask) -> answers.Task:
    below = task.state
    return answers.Task(
        id=task.id,
        name=task.name,
        path=_plain(task.path),
        error=None if task.error is None else str(task.error),
        interrupts=_interrupts(task.interrupts),
        checkpoint=below["configurable"] if isinstance(below, dict) else None,
        state=_state(below) if isinstance(below, StateSnapshot) else None,
        result=_plain(task.result),
    )


def _interrupts(pending: Iterable[Interrupt]) -> list[answers.Json]:
    return [_plain(encoding.interrupt(item)) for item in pending]


def _nothing_yet(thread: run.Thread, checkpoint: payloads.Checkpoint | None) -> answers.ThreadState:
    if _is_named(checkpoint):
        raise _not_found(checkpoint)
    here = answers.Checkpoint(thread_id=str(thread.thread_id), checkpoint_ns="", checkpoint_id=None)
    return answers.ThreadState(checkpoint=here)


def _is_named(checkpoint: payloads.Checkpoint | None) -> bool:
    return checkpoint is not None and checkpoint.checkpoint_id is not None


def _not_found(checkpoint: payloads.Checkpoint | None) -> exceptions.RequestError:
    named = checkpoint.checkpoint_id if checkpoint else None
    return exceptions.RequestError(ErrorCode.NOT_FOUND, f"The thread has no checkpoint {named!r}.")


def _plain(value: Any) -> Any:
    return orjson.loads(encoding.dumps(value))
