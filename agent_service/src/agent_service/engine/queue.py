"""Takes runs in, and takes them back. One transaction writes a run's row and, at the head, its job."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from agent_service import database, exceptions
from agent_service.engine import cancels, jobs, repository, resumes, rows, run
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode

CANCEL_CHANNEL = "mandate_cancels"

_ACTIONS = {
    run.MultitaskStrategy.INTERRUPT: run.CancelAction.INTERRUPT,
    run.MultitaskStrategy.ROLLBACK: run.CancelAction.ROLLBACK,
}


_STANDING = frozenset({run.ThreadStatus.INTERRUPTED, run.ThreadStatus.ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueue:
    """The API's side of the queue; workers take from it."""

    pool: database.Pool
    limited: Collection[str] = ()
    """The graphs of which only so many runs work at a time."""

    async def submit(self, submission: run.Submission) -> run.Run:
        """Keep a run and queue it, or return the one its idempotency key made before.

        Raises:
            RequestError: NOT_FOUND for the thread, THREAD_BUSY, IDEMPOTENCY_KEY_REUSED, NO_SUCH_INTERRUPT,
                FORBIDDEN for a person on the thread of a mandate, CONFLICT for one that is not rolled back.
        """
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
        by_person: bool = False,
        action: run.CancelAction = run.CancelAction.INTERRUPT,
    ) -> run.Run:
        """Ask for a run's end; one that no worker has ends at once. Waiting for its end shows when it did.

        Raises:
            RequestError: NOT_FOUND; FORBIDDEN for a person on the thread of a mandate;
                CONFLICT if it has ended, or has a mandate and was to be rolled back.
        """
        async with self.pool.connection() as connection, connection.transaction():
            thread = await _lock_thread(connection, thread_id, owner=owner, by_person=by_person)
            unfinished = await _find(connection, run_id, thread)
            if unfinished.ended:
                raise exceptions.RequestError(
                    ErrorCode.CONFLICT, f"The run has ended already: {unfinished.status.value}."
                )
            cancelled = await cancels.cancel(connection, unfinished, thread=thread, action=action)
            crashing.point("stop.before_commit")
            return cancelled

    async def cancel_each(
        self,
        run_ids: Iterable[UUID],
        *,
        thread_id: UUID,
        owner: str,
        by_person: bool = False,
        must_exist: bool = True,
        action: run.CancelAction = run.CancelAction.INTERRUPT,
    ) -> None:
        """Ask for the end of several runs of a thread, of all of them or of none.

        What is gone has ended too, with its thread or without, unless it `must_exist`.

        Raises:
            RequestError: NOT_FOUND; FORBIDDEN and CONFLICT as for one.
        """
        async with self.pool.connection() as connection, connection.transaction():
            try:
                thread = await _lock_thread(connection, thread_id, owner=owner, by_person=by_person)
            except exceptions.RequestError as refusal:
                if must_exist or refusal.code != ErrorCode.NOT_FOUND:
                    raise
                return
            found = [await _run(connection, run_id, thread) for run_id in dict.fromkeys(run_ids)]
            unwanted = [item for item in found if item is not None]
            if must_exist and len(unwanted) < len(found):
                raise exceptions.RequestError(ErrorCode.NOT_FOUND, "One of the runs is not there.")
            # From the back, so that none comes to the front only to be cancelled there.
            for item in sorted(unwanted, key=lambda unfinished: unfinished.ordinal, reverse=True):
                if not item.ended:
                    await cancels.cancel(connection, item, thread=thread, action=action)

    async def unfinished(
        self, statuses: Iterable[run.RunStatus], *, owner: str, thread_id: UUID | None, by_person: bool
    ) -> dict[UUID, list[UUID]]:
        """Return the owner's runs that are pending or running, by thread; for a person, those without mandate."""
        values = {
            "owner": owner,
            "statuses": list(statuses),
            "thread_id": thread_id,
            "by_person": by_person,
        }
        found: dict[UUID, list[UUID]] = {}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES["unfinished_of"], values)
            for row in await cursor.fetchall():
                found.setdefault(row["thread_id"], []).append(row["run_id"])
        return found

    async def delete(self, run_id: UUID, *, thread_id: UUID, owner: str, by_person: bool = False) -> None:
        """Delete a run that has ended, with its events; its thread and the checkpoints stay.

        Raises:
            RequestError: NOT_FOUND; FORBIDDEN for a person on the thread of a mandate; CONFLICT before its end.
        """
        async with self.pool.connection() as connection, connection.transaction():
            thread = await _lock_thread(connection, thread_id, owner=owner, by_person=by_person)
            unwanted = await _find(connection, run_id, thread)
            if not unwanted.ended:
                raise exceptions.RequestError(ErrorCode.CONFLICT, "The run has not ended; cancel it first.")
            values = {"run_id": run_id, "wakes": str(run_id)}
            await connection.execute(rows.QUERIES["delete_run"], values)

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
        lane = jobs.lane(submission.graph_id, limited=self.limited)
        async with self.pool.connection() as connection:
            if submission.create_thread and submission.payload.command is None:
                crashing.point("submission.before_commit")
                if kept := await _insert_with_thread(connection, submission, lane=lane):
                    return kept
            async with connection.transaction():
                kept = await _insert_on_thread(connection, submission, lane=lane)
                crashing.point("submission.before_commit")
                return kept


async def _insert_on_thread(
    connection: database.Connection, submission: run.Submission, *, lane: str
) -> run.Run:
    """Keep a run, and its job if it is to have one already; its thread is made if there is none."""
    if submission.create_thread and (kept := await _insert_with_thread(connection, submission, lane=lane)):
        if not submission.scheduled:
            # A thread without a past has no interrupt that a command could answer.
            _resolved(submission, pending=(), stands_before_a_step=False)
        return kept
    thread = await _lock_thread(
        connection, submission.thread_id, owner=submission.owner, by_person=submission.by_person
    )
    waiting = submission.scheduled or await _make_room(connection, submission, thread)
    if not waiting:
        # Behind another run nobody knows yet which interrupts there will be; the worker looks again.
        submission = _answering(submission, thread)
    kept = await _insert(connection, submission, lane=lane)
    # One that is scheduled has its job from the start; it asks for its place when that comes.
    if submission.scheduled or not waiting:
        await jobs.enqueue(connection, kept)
    return kept


async def _lock_thread(
    connection: database.Connection, thread_id: UUID, *, owner: str, by_person: bool
) -> run.Thread:
    cursor = await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": thread_id})
    row = await cursor.fetchone()
    if row is None or row["owner"] != owner:
        raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no thread {str(thread_id)!r}.")
    thread = rows.thread_from(row)
    if by_person and thread.mandated:
        raise exceptions.RequestError(
            ErrorCode.FORBIDDEN, "Runs with a mandate are started, resumed and cancelled in Django."
        )
    return thread


async def _find(connection: database.Connection, run_id: UUID, thread: run.Thread) -> run.Run:
    found = await _run(connection, run_id, thread)
    if found is None:
        raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no run {str(run_id)!r}.")
    return found


async def _run(connection: database.Connection, run_id: UUID, thread: run.Thread) -> run.Run | None:
    values = {"run_id": run_id, "thread_id": thread.thread_id, "owner": thread.owner}
    cursor = await connection.execute(rows.QUERIES["run"], values)
    row = await cursor.fetchone()
    return None if row is None else rows.run_from(row)


async def _make_room(connection: database.Connection, submission: run.Submission, thread: run.Thread) -> bool:
    """Do what the strategy says about the thread's unfinished runs; tell whether the new run has to wait."""
    cursor = await connection.execute(rows.QUERIES["contenders"], {"thread_id": submission.thread_id})
    unfinished = [rows.run_from(row) for row in await cursor.fetchall()]
    if unfinished and submission.multitask_strategy is run.MultitaskStrategy.REJECT:
        raise exceptions.RequestError(ErrorCode.THREAD_BUSY, "A run of the thread is not ended.")
    action = _ACTIONS.get(submission.multitask_strategy)
    if action is None:
        return bool(unfinished)
    # From the back, so that none comes to the front only to be cancelled there.
    after = [
        await cancels.cancel(connection, item, thread=thread, action=action) for item in reversed(unfinished)
    ]
    return any(not item.ended for item in after)


def _answering(submission: run.Submission, thread: run.Thread) -> run.Submission:
    pending = [item["id"] for items in thread.interrupts.values() for item in items]
    stands = thread.at_rest in _STANDING
    answer = (submission.payload.command or {}).get(resumes.RESUME)
    if stands and not pending and not resumes.names_interrupts(answer):
        # A step that failed may hold an answer already; the worker sees.
        return submission
    return _resolved(submission, pending=pending, stands_before_a_step=stands)


def _resolved(
    submission: run.Submission, *, pending: Collection[str], stands_before_a_step: bool
) -> run.Submission:
    command = submission.payload.command
    if command is None:
        return submission
    try:
        command = resumes.resolve(command, pending, stands_before_a_step=stands_before_a_step)
    except exceptions.RunFailed as error:
        raise exceptions.RequestError(error.code, str(error)) from None
    return replace(submission, payload=replace(submission.payload, command=command))


async def _insert_with_thread(
    connection: database.Connection, submission: run.Submission, *, lane: str
) -> run.Run | None:
    """Keep a run with its job, and the thread that is made for it; nothing if the thread is there already."""
    thread = rows.occupying(submission)
    values = _values(submission, lane=lane) | {"about": thread["metadata"], "mandated": thread["mandated"]}
    cursor = await connection.execute(rows.QUERIES["insert_thread_and_run"], values)
    row = await cursor.fetchone()
    return None if row is None else rows.run_from(row)


async def _insert(connection: database.Connection, submission: run.Submission, *, lane: str) -> run.Run:
    cursor = await connection.execute(rows.QUERIES["insert_run"], _values(submission, lane=lane))
    row = await cursor.fetchone()
    assert row is not None
    await connection.execute(rows.QUERIES["occupy_thread"], rows.occupying(submission))
    return rows.run_from(row)


def _values(submission: run.Submission, *, lane: str) -> rows.Row:
    return {
        "run_id": submission.run_id,
        "thread_id": submission.thread_id,
        "assistant_id": submission.assistant_id,
        "graph_id": submission.graph_id,
        "owner": submission.owner,
        "payload": rows.stored_payload(submission.payload),
        "metadata": Jsonb(submission.metadata),
        "multitask_strategy": submission.multitask_strategy,
        "priority": submission.priority,
        "lane": lane,
        "after": submission.after,
        "scheduled": submission.scheduled,
        "webhook_url": submission.webhook_url,
        "key": submission.idempotency and submission.idempotency.key,
        "digest": submission.idempotency and submission.idempotency.digest,
    }
