"""What follows a run's end, in the transaction that ends it; its thread is locked by then."""

from collections.abc import Sequence

from psycopg.types.json import Json

from agent_service import database, webhooks
from agent_service.engine import encoding, rows, run
from agent_service.events import log
from shared_schemas.webhooks import RunEnded


def values_of(ended: run.Run, outcome: run.Outcome, events: Sequence[tuple[str, str]] = ()) -> rows.Row:
    """Return the parameters of `end_run` and `leave_run` that say what follows."""
    told = ended.webhook_url and webhooks.message(_webhook(ended))
    return log.ending_values(ended.run_id, events) | {
        "resting": outcome.thread_status,
        "values": None if outcome.values is None else encoding.storable(outcome.values),
        "interrupts": None if outcome.interrupts is None else encoding.storable(outcome.interrupts),
        "webhook": told and Json(told, dumps=encoding.dumps),
    }


async def stay(connection: database.Connection, unfinished: run.Run, values: run.JsonObject | None) -> None:
    """Show how far the thread of a run came that goes on later."""
    values_ = None if values is None else encoding.storable(values)
    told = {"thread_id": unfinished.thread_id, "status": run.ThreadStatus.BUSY}
    await connection.execute(rows.QUERIES["leave_thread"], told | {"values": values_, "interrupts": None})


def _webhook(ended: run.Run) -> RunEnded:
    # By validation: a status that is not terminal fails here, not at the receiver.
    return RunEnded.model_validate(
        {
            "run_id": ended.run_id,
            "thread_id": str(ended.thread_id),
            "mandate_run": ended.mandate_run,
            "status": ended.status.value,
            "sequence": 1,
        }
    )
