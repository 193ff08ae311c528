"""Takes a run back: its row, its events, its checkpoints, and what it wrote beside older ones.

The thread's values and interrupts change when a run ends, which this one never does; only one that was tried
again showed how far it came.
"""

from importlib import resources

from agent_service import database
from agent_service.engine import rows, run
from agent_service.events import telling

_QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("rollbacks.sql").read_text()
)


async def note_beginning(connection: database.Connection, asked: run.Run) -> None:
    """Keep what stands beside the checkpoint that a run goes on from; the first note counts."""
    values = _names(asked) | {"checkpoint_id": (asked.payload.checkpoint or {}).get("checkpoint_id")}
    await connection.execute(_QUERIES["note_beginning"], values)


async def note_state(connection: database.Connection, asked: run.Run) -> None:
    """Keep what a thread shows before a run that has not ended changes it."""
    await connection.execute(_QUERIES["note_state"], _names(asked))


async def undo(connection: database.Connection, unwanted: run.Run) -> None:
    """Leave the thread as it was before the run; the thread is locked by then."""
    for step in ("delete_checkpoints", "delete_late_writes", "restore_writes", "rest_thread"):
        await connection.execute(_QUERIES[step], _names(unwanted))
    values = {"run_id": unwanted.run_id, "wakes": telling.ending(unwanted.run_id)}
    await connection.execute(rows.QUERIES["delete_run"], values)


def _names(asked: run.Run) -> rows.Row:
    return {"run_id": str(asked.run_id), "thread_id": str(asked.thread_id)}
