"""What follows a run's end, in the transaction that ends it; its thread is locked by then."""

from collections.abc import Sequence

from psycopg.types.json import Json

from agent_service import checkpointing, database, webhooks
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
    following = await promote(connection, ended)
    values = {
        "run_id": ended.run_id,
        "thread_id": ended.thread_id,
        "busy": None if following is None else run.ThreadStatus.BUSY,
        "resting": outcome.thread_status,
        "values": None if outcome.values is None else encoding.storable(outcome.values),
        "interrupts": None if outcome.interrupts is None else encoding.storable(outcome.interrupts),
        "error": rows.stored_failure(ended.error),
    }
    await connection.execute(rows.QUERIES["end_thread"], values)
    if ended.takes_its_thread and following is None:
        # What it left stays for those who wait for it: its events and its result.
        await connection.execute(rows.QUERIES["drop_thread"], {"thread_id": ended.thread_id})
        await checkpointing.delete(connection, ended.thread_id)


def values_of(ended: run.Run, outcome: run.Outcome, events: Sequence[tuple[str, str]]) -> rows.Row:
    """Return the parameters of `end_run_at_once`."""
    url = ended.webhook_url
    return (
        rows.ending_values(outcome)
        | log.ending_values(ended.run_id, events)
        | {
            "resting": outcome.thread_status,
            "values": None if outcome.values is None else encoding.storable(outcome.values),
            "interrupts": None if outcome.interrupts is None else encoding.storable(outcome.interrupts),
            "webhook_url": url,
            "webhook": None if url is None else Json(webhooks.message(_webhook(ended)), dumps=encoding.dumps),
        }
    )


async def promote(connection: database.Connection, leaving: run.Run) -> run.Run | None:
    """Return the first of the thread's other runs; queue it if it waited behind the leaving one."""
    cursor = await connection.execute(
        rows.QUERIES["next_run"], {"leaving": leaving.run_id, "thread_id": leaving.thread_id}
    )
    row = await cursor.fetchone()
    following = None if row is None else rows.run_from(row)
    # A run in front was queued when it came to the front, and one that waits for its time is in nobody's way.
    if following is not None and following.ordinal > leaving.ordinal and not leaving.scheduled:
        await jobs.enqueue(connection, following)
    return following


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
