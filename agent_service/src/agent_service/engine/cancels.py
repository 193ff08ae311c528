"""Ends runs that somebody no longer wants; whoever calls has locked their thread."""

from dataclasses import replace

from agent_service import database, exceptions
from agent_service.engine import endings, rollbacks, rows, run
from shared_schemas.problems import ErrorCode


def check(unwanted: run.Run, action: run.CancelAction) -> None:
    """Refuse what cannot be taken back.

    Raises:
        RequestError: CONFLICT for a run with a mandate.
    """
    if action is run.CancelAction.ROLLBACK and unwanted.mandate_run is not None:
        raise exceptions.RequestError(
            ErrorCode.CONFLICT,
            "A run with a mandate is not rolled back: what its tools did stays. Use 'interrupt'.",
        )


async def cancel(
    connection: database.Connection, unfinished: run.Run, *, thread: run.Thread, action: run.CancelAction
) -> run.Run:
    """Ask the run's worker to stop; end the run at once if it has none."""
    check(unfinished, action)
    pending = unfinished.status is run.RunStatus.PENDING
    if pending and action is run.CancelAction.ROLLBACK:
        # Waits for a worker that claims it at this moment.
        cursor = await connection.execute(rows.QUERIES["still_pending"], {"run_id": unfinished.run_id})
        if await cursor.fetchone() is not None:
            await rollbacks.undo(connection, unfinished)
            return replace(unfinished, status=run.RunStatus.INTERRUPTED)
        pending = False
    query = "cancel_pending" if pending else "ask_to_cancel"
    asked = {"run_id": unfinished.run_id, "action": action}
    cursor = await connection.execute(rows.QUERIES[query], asked)
    row = await cursor.fetchone()
    if row is None:
        # A worker claimed it in between: claiming takes the run's row alone.
        running = replace(unfinished, status=run.RunStatus.RUNNING)
        return await cancel(connection, running, thread=thread, action=action)
    cancelled = rows.run_from(row)
    if pending:
        outcome = run.Outcome(status=cancelled.status, thread_status=_rest(thread, cancelled))
        await connection.execute(rows.QUERIES["leave_run"], endings.values_of(cancelled, outcome) | asked)
    return cancelled


def _rest(thread: run.Thread, cancelled: run.Run) -> run.ThreadStatus:
    # One that a worker had begun left its thread in the middle.
    return thread.at_rest if cancelled.epoch is None else run.ThreadStatus.INTERRUPTED
