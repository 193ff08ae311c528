"""What follows a run's end, in the transaction that ends it; its thread is locked by then."""

from collections.abc import Sequence

from agent_service import database, webhooks
from agent_service.engine import encoding, jobs, rows, run
from agent_service.events import log
from shared_schemas.webhooks import RunEnded


async def follow_up(
    connection: database.Connection,
    ended: run.Run,
    *,
    outcome: run.Outcome,
    events: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the last events and the webhook, queue the thread's next run, and leave the thread."""
    await log.end(connection, ended.run_id, events)
    if ended.webhook_url is not None:
        await webhooks.enqueue(connection, url=ended.webhook_url, ended=_webhook(ended))
    following = await _next(connection, ended)
    # A run in front of the ended one was queued when it came to the front.
    if following is not None and following.ordinal > ended.ordinal:
        await jobs.enqueue(connection, following)
    values = {
        "thread_id": ended.thread_id,
        "status": outcome.thread_status if following is None else run.ThreadStatus.BUSY,
        "values": None if outcome.values is None else encoding.storable(outcome.values),
        "interrupts": None if outcome.interrupts is None else encoding.storable(outcome.interrupts),
    }
    await connection.execute(rows.QUERIES["leave_thread"], values)


async def stay(connection: database.Connection, unfinished: run.Run, values: run.JsonObject | None) -> None:
    """Show how far the thread of a run came that goes on later."""
    values_ = None if values is None else encoding.storable(values)
    told = {"thread_id": unfinished.thread_id, "status": run.ThreadStatus.BUSY}
    await connection.execute(rows.QUERIES["leave_thread"], told | {"values": values_, "interrupts": None})


async def _next(connection: database.Connection, ended: run.Run) -> run.Run | None:
    cursor = await connection.execute(rows.QUERIES["next_run"], {"thread_id": ended.thread_id})
    row = await cursor.fetchone()
    return None if row is None else rows.run_from(row)


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
