"""A resume as one that may be given again after a crash: by the ids of the interrupts it answers."""

import re
from collections.abc import Collection

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Interrupt, StateSnapshot

from agent_service import exceptions
from agent_service.engine import run
from shared_schemas.problems import ErrorCode

RESUME = "resume"

_RESUMES = "__resume__"
"""The channel of LangGraph in which a node keeps its answers."""

_INTERRUPT_ID = re.compile("[0-9a-f]{32}")


def resolve(
    command: run.JsonObject,
    pending: Collection[str],
    *,
    stands_before_a_step: bool,
    answered: Collection[str] = (),
) -> run.JsonObject:
    """Return the command with its bare answer under the id of the interrupt that it answers.

    A bare answer given twice would answer two interrupts. One for a thread that only stands before its
    next step answers nothing, and the thread goes on. It stands differently before a step that failed with
    an answer in its hands: that one stays, whatever is `answered` again.

    Raises:
        RunFailed: NO_SUCH_INTERRUPT, for an id that is not pending and for an answer that could be for
            several interrupts or for none.
    """
    if RESUME not in command or command[RESUME] is None:
        return command
    answer = command[RESUME]
    if names_interrupts(answer):
        if unknown := sorted(answer.keys() - set(pending)):
            raise _refused(f"No interrupt {unknown[0]!r} is pending.")
        return command
    if len(pending) > 1:
        raise _refused(f"{len(pending)} interrupts are pending; name those that are answered by their ids.")
    if not pending and answered:
        raise _refused("The interrupt is answered already; go on without another answer.")
    if not pending and not stands_before_a_step:
        raise _refused("No interrupt is pending.")
    return command | {RESUME: dict.fromkeys(pending, answer)}


async def used(snapshot: StateSnapshot, saver: BaseCheckpointSaver[str]) -> frozenset[str]:
    """Return the ids of interrupts whose answers their nodes hold already, from before they failed.

    LangGraph still shows the last one of a node as pending, and would give another answer to the first one to
    the node's next interrupt.
    """
    place = snapshot.config["configurable"]
    kept = await saver.aget_tuple(snapshot.config)
    held = {
        task: value for task, channel, value in (kept and kept.pending_writes) or () if channel == _RESUMES
    }
    found: set[str] = set()
    for task in snapshot.tasks:
        namespace = "|".join(filter(None, [place.get("checkpoint_ns"), f"{task.name}:{task.id}"]))
        found |= {_id_of(namespace, number) for number in range(len(held.get(task.id) or ()))}
        if isinstance(task.state, StateSnapshot):
            found |= await used(task.state, saver)
    return frozenset(found)


def _id_of(namespace: str, number: int) -> str:
    """Return the id of a node's interrupt, counted from 0."""
    return Interrupt.from_ns(None, f"{namespace}|{number}" if number else namespace).id


def unanswered(command: run.JsonObject, pending: Collection[str]) -> run.JsonObject:
    """Return what is left of a resolved command when another worker may have given it before.

    The interrupts that it answered then are pending no more.
    """
    answers = command.get(RESUME)
    if not answers:
        return command
    return command | {RESUME: {id_: answer for id_, answer in answers.items() if id_ in pending}}


def names_interrupts(answer: object) -> bool:
    return isinstance(answer, dict) and bool(answer) and all(_INTERRUPT_ID.fullmatch(key) for key in answer)


def _refused(message: str) -> exceptions.RunFailed:
    return exceptions.RunFailed(ErrorCode.NO_SUCH_INTERRUPT, message)
