"""Takes runs in, and takes them back. One transaction writes a run's row and, at the head, its job."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from agent_service import database, exceptions
from agent_service.engine import endings, jobs, repository, resumes, rows, run, streaming
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode

CANCEL_CHANNEL = "mandate_cancels"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueue:
    """The API's side of the queue; workers take from it."""

    pool: database.Pool

    async def submit(self, submission: run.Submission) -> run.Run:
        """Keep a run and queue it, or return the one its idempotency key made before.

        Raises:
            RequestError: NOT_FOUND for the thread, THREAD_BUSY, IDEMPOTENCY_KEY_REUSED, NO_SUCH_INTERRUPT,
                NOT_OFFERED for a strategy that is not there yet.
        """
        if submission.multitask_strategy is run.MultitaskStrategy.ROLLBACK:
            raise exceptions.RequestError(
                ErrorCode.NOT_OFFERED, "The strategy 'rollback' is not offered yet; use 'interrupt'."
            )
        if unknown := sorted(set(submission.payload.stream_modes) - streaming.OFFERED):
            raise exceptions.RequestError(
                ErrorCode.NOT_OFFERED, f"These stream modes are not offered yet: {', '.join(unknown)}."
            )
        if known := await self._known(submission):
            return known
        try:
            kept = await self._keep(submission)
        except UniqueViolation:
            # The same request came twice at once, and the other one was first.
            if known := await self._known(submission):
                return known
            raise
        crashing.point("submission.after_commit")
        return kept

    async def cancel(
        self,
        run_id: UUID,
        *,
        thread_id: UUID,
        owner: str,
        action: run.CancelAction = run.CancelAction.INTERRUPT,
    ) -> run.Run:
        """Ask for a run's end; one that no worker has ends at once. Reading its events shows when it did.

        Raises:
            RequestError: NOT_FOUND; NOT_OFFERED for a rollback; CONFLICT if it has ended.
        """
        if action is run.CancelAction.ROLLBACK:
            raise exceptions.RequestError(
                ErrorCode.NOT_OFFERED, "The action 'rollback' is not offered yet; use 'interrupt'."
            )
        async with self.pool.connection() as connection, connection.transaction():
            await _lock_thread(connection, thread_id, owner=owner)
            cursor = await connection.execute(
                rows.QUERIES["run"], {"run_id": run_id, "thread_id": thread_id, "owner": owner}
            )
            row = await cursor.fetchone()
            if row is None:
                raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no run {str(run_id)!r}.")
            unfinished = rows.run_from(row)
            if unfinished.ended:
                raise exceptions.RequestError(
                    ErrorCode.CONFLICT, f"The run has ended already: {unfinished.status.value}."
                )
            cancelled = await _cancel(connection, unfinished, action)
            crashing.point("stop.before_commit")
            return cancelled

    async def _known(self, submission: run.Submission) -> run.Run | None:
        if submission.idempotency is None:
            return None
        values = {"owner": submission.owner, "key": submission.idempotency.key}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES["run_by_key"], values)
            row = await cursor.fetchone()
        if row is None:
            return None
        repository.check_digest(row, submission.idempotency)
        return rows.run_from(row)

    async def _keep(self, submission: run.Submission) -> run.Run:
        async with self.pool.connection() as connection, connection.transaction():
            if submission.create_thread:
                await connection.execute(rows.QUERIES["insert_thread"], _thread_values(submission))
            thread = await _lock_thread(connection, submission.thread_id, owner=submission.owner)
            waiting = await _make_room(connection, submission)
            submission = _resolved(submission, thread, waiting=waiting)
            kept = await _insert(connection, submission)
            if not waiting:
                await jobs.enqueue(connection, kept)
            crashing.point("submission.before_commit")
            return kept


async def _lock_thread(connection: database.Connection, thread_id: UUID, *, owner: str) -> run.Thread:
    cursor = await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": thread_id})
    row = await cursor.fetchone()
    if row is None or row["owner"] != owner:
        raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no thread {str(thread_id)!r}.")
    return rows.thread_from(row)


async def _make_room(connection: database.Connection, submission: run.Submission) -> bool:
    """Do what the strategy says about the thread's unfinished runs; tell whether the new run has to wait."""
    cursor = await connection.execute(rows.QUERIES["unfinished_runs"], {"thread_id": submission.thread_id})
    unfinished = [rows.run_from(row) for row in await cursor.fetchall()]
    if unfinished and submission.multitask_strategy is run.MultitaskStrategy.REJECT:
        raise exceptions.RequestError(ErrorCode.THREAD_BUSY, "A run of the thread is not ended.")
    if submission.multitask_strategy is run.MultitaskStrategy.INTERRUPT:
        # From the back, so that none comes to the front only to be cancelled there.
        after = [await _cancel(connection, item, run.CancelAction.INTERRUPT) for item in reversed(unfinished)]
        return any(not item.ended for item in after)
    return bool(unfinished)


async def _cancel(connection: database.Connection, unfinished: run.Run, action: run.CancelAction) -> run.Run:
    pending = unfinished.status is run.RunStatus.PENDING
    query = "cancel_pending" if pending else "ask_to_cancel"
    cursor = await connection.execute(rows.QUERIES[query], {"run_id": unfinished.run_id, "action": action})
    row = await cursor.fetchone()
    if row is None:
        # A worker claimed it in between: claiming takes the run's row alone.
        return await _cancel(connection, replace(unfinished, status=run.RunStatus.RUNNING), action)
    cancelled = rows.run_from(row)
    if pending:
        outcome = run.Outcome(status=cancelled.status, thread_status=await _rest(connection, cancelled))
        await endings.follow_up(connection, cancelled, outcome=outcome)
    return cancelled


async def _rest(connection: database.Connection, cancelled: run.Run) -> run.ThreadStatus:
    cursor = await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": cancelled.thread_id})
    row = await cursor.fetchone()
    assert row is not None
    # One that a worker had begun left its thread in the middle.
    stands = row["interrupts"] or cancelled.epoch is not None
    return run.ThreadStatus.INTERRUPTED if stands else run.ThreadStatus.IDLE


def _resolved(submission: run.Submission, thread: run.Thread, *, waiting: bool) -> run.Submission:
    # Behind another run nobody knows yet which interrupts there will be; the worker looks again.
    command = submission.payload.command
    if waiting or command is None:
        return submission
    pending = [item["id"] for items in thread.interrupts.values() for item in items]
    try:
        command = resumes.resolve(command, pending, stands_before_a_step=_stands(thread))
    except exceptions.RunFailed as error:
        raise exceptions.RequestError(error.code, str(error)) from None
    return replace(submission, payload=replace(submission.payload, command=command))


def _stands(thread: run.Thread) -> bool:
    return thread.status in {run.ThreadStatus.INTERRUPTED, run.ThreadStatus.ERROR}


async def _insert(connection: database.Connection, submission: run.Submission) -> run.Run:
    values = {
        "run_id": submission.run_id,
        "thread_id": submission.thread_id,
        "assistant_id": submission.assistant_id,
        "graph_id": submission.graph_id,
        "owner": submission.owner,
        "payload": rows.stored_payload(submission.payload),
        "metadata": Jsonb(submission.metadata),
        "multitask_strategy": submission.multitask_strategy,
        "priority": submission.priority,
        "after": max(submission.after, timedelta(0)),
        "webhook_url": submission.webhook_url,
        "key": submission.idempotency and submission.idempotency.key,
        "digest": submission.idempotency and submission.idempotency.digest,
    }
    cursor = await connection.execute(rows.QUERIES["insert_run"], values)
    row = await cursor.fetchone()
    assert row is not None
    about = {"graph_id": submission.graph_id, "assistant_id": str(submission.assistant_id)}
    await connection.execute(
        rows.QUERIES["occupy_thread"], {"thread_id": submission.thread_id, "metadata": Jsonb(about)}
    )
    return rows.run_from(row)


def _thread_values(submission: run.Submission) -> rows.Row:
    return {
        "thread_id": submission.thread_id,
        "owner": submission.owner,
        "metadata": Jsonb({}),
        "key": None,
        "digest": None,
    }
