"""A worker's hold on runs: every write of it names its epoch, and fails once another worker has the run."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from agent_service import checkpointing, database, exceptions
from agent_service.engine import endings, jobs, rollbacks, rows, run
from agent_service.events import log
from shared_schemas import crashing
from shared_schemas.usage import ModelUsage

ORPHANED_AFTER = timedelta(seconds=30)

ADOPTION = 7_263_541_909
"""An advisory lock of a transaction: two who adopt at once would each queue the same run."""

UNWANTED = "LS002"
"""The SQLSTATE by which `end_run` refuses a run that is to be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Claims runs for one worker, and gives them back."""

    pool: database.Pool
    worker: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Versions of the graphs' prompts, for those that have any in files."""
    done: set[int] = field(default_factory=set)
    """The jobs that went when their runs ended or were given back, until the queue asks."""

    @property
    def stored_prompts(self) -> Jsonb:
        return Jsonb(dict(self.prompts))

    async def claim(self, run_id: UUID, *, job: run.JobKey | None = None) -> run.Claim | None:
        """Take a run under a new epoch, for the job that asks for it; nothing if it has ended."""
        row = await self._claimed(run_id)
        if row is None and await self._comes_due(run_id):
            row = await self._claimed(run_id)
        return None if row is None else claim_from(row, job=job)

    async def note_beginning(self, claim: run.Claim) -> None:
        """Keep what undoing the run needs, before it writes its first word."""
        async with self.pool.connection() as connection:
            await rollbacks.note_beginning(connection, claim.run)

    async def keep_command(self, claim: run.Claim, command: run.JsonObject) -> None:
        """Replace a run's command by one that means the same however often it is given.

        Raises:
            LeaseLost: another worker has the run.
        """
        payload = rows.stored_payload(replace(claim.run.payload, command=command))
        async with self.pool.connection() as connection:
            await _held(connection, "keep_command", claim, payload=payload)

    async def keep_usage(self, claim: run.Claim, used: Sequence[ModelUsage]) -> None:
        """Keep what a run has used so far, for the worker that comes after a crash.

        Raises:
            LeaseLost: another worker has the run.
        """
        async with self.pool.connection() as connection:
            await _held(connection, "keep_usage", claim, usage=rows.stored_usage(used))

    async def end(
        self,
        claim: run.Claim,
        outcome: run.Outcome,
        events: Sequence[tuple[str, str]] = (),
        *,
        saver: checkpointing.FencedSaver | None = None,
    ) -> run.Run:
        """End a run, and everything that follows from it, at once; with what its saver has not written yet.

        Raises:
            LeaseLost: another worker has the run.
        """
        run.check_move(claim.run.run_id, run.RunStatus.RUNNING, outcome.status)
        ended = replace(claim.run, status=outcome.status, error=outcome.error, usage=[*outcome.usage])
        try:
            if saver and claim.run.takes_its_thread:
                # Before the end, which takes the thread's checkpoints with it.
                await saver.flush()
            async with saver.unwritten() if saver else nullcontext(()) as checkpoints:
                ended_at = await self._write_end(
                    _ending(claim, ended) | endings.values_of(ended, outcome, events), checkpoints
                )
        except psycopg.Error as error:
            if database.has_state(error, UNWANTED):
                return await self._take_back(claim, ended)
            if checkpointing.is_fenced(error):
                raise exceptions.LeaseLost(str(ended.run_id)) from error
            raise
        self._forget_job(claim)
        return replace(ended, updated_at=ended_at, ended_at=ended_at)

    async def _write_end(self, values: rows.Row, checkpoints: Sequence[checkpointing.Statement]) -> datetime:
        # The transaction is this statement, or the pipeline that begins with it: a death within is one before it.
        crashing.point("worker.in_end")
        async with self.pool.connection() as connection, connection.cursor() as cursor:
            if checkpoints:
                async with connection.pipeline(), connection.cursor() as following:
                    await cursor.execute(rows.QUERIES["end_run"], values)
                    await checkpointing.send(following, checkpoints)
            else:
                await cursor.execute(rows.QUERIES["end_run"], values)
            row = await cursor.fetchone()
        assert row is not None
        ended_at: datetime = row["ended_at"]
        return ended_at

    async def _take_back(self, claim: run.Claim, ended: run.Run) -> run.Run:
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": ended.thread_id})
            await rollbacks.undo(connection, rows.run_from(await _held(connection, "hold_unwanted", claim)))
            crashing.point("worker.in_end")
        return ended

    async def release(
        self,
        claim: run.Claim,
        *,
        used: Sequence[ModelUsage] = (),
        events: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Give a run to whoever is free, without counting the attempt.

        Raises:
            LeaseLost: another worker has the run.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": claim.run.thread_id})
            row = await _held(connection, "release_run", claim, usage=rows.stored_usage(used))
            await log.keep(connection, claim.run.run_id, events)
            await _enqueue_again(connection, claim, row)
        self._forget_job(claim)

    async def postpone(
        self,
        claim: run.Claim,
        *,
        pause: timedelta,
        values: run.JsonObject | None,
        used: Sequence[ModelUsage],
        events: Sequence[tuple[str, str]],
    ) -> None:
        """Give a run to whoever is free when the pause is over; the attempt counts.

        Raises:
            LeaseLost: another worker has the run.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": claim.run.thread_id})
            row = await _held(connection, "postpone_run", claim, usage=rows.stored_usage(used), pause=pause)
            await log.keep(connection, claim.run.run_id, events)
            await rollbacks.note_state(connection, claim.run)
            await endings.stay(connection, claim.run, values)
            await _enqueue_again(connection, claim, row)
        self._forget_job(claim)

    async def unwanted(self, run_ids: Sequence[UUID]) -> list[UUID]:
        """Return those of these runs that somebody wants to end."""
        if not run_ids:
            return []
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES["unwanted"], {"run_ids": [*run_ids]})
            return [row["run_id"] for row in await cursor.fetchall()]

    async def lanes(self) -> set[str]:
        """Return the lanes in which runs stand now, those of graphs that are no more limited among them."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES["lanes"])
            return {row["lane"] for row in await cursor.fetchall()}

    async def adopt_orphans(self) -> list[UUID]:
        """Queue runs again that wait for a worker and have no job; nothing, if another process does it now."""
        async with self.pool.connection() as connection, connection.transaction():
            if not await database.is_my_turn(connection, ADOPTION):
                return []
            cursor = await connection.execute(rows.QUERIES["orphans"], {"silence": ORPHANED_AFTER})
            orphans = [rows.run_from(row) for row in await cursor.fetchall()]
            for orphan in orphans:
                await jobs.enqueue(connection, orphan)
        return [orphan.run_id for orphan in orphans]

    def _forget_job(self, claim: run.Claim) -> None:
        if claim.job is not None:
            self.done.add(claim.job.job_id)

    async def _claimed(self, run_id: UUID) -> rows.Row | None:
        values = {"run_id": run_id, "worker": self.worker, "prompts": self.stored_prompts}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES["claim_run"], values)
            return await cursor.fetchone()

    async def _comes_due(self, run_id: UUID) -> bool:
        """Give a run whose time has come its place in its thread; tell whether that is the first."""
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(rows.QUERIES["scheduled_run"], {"run_id": run_id})
            waiting = await cursor.fetchone()
            if waiting is None:
                return False
            await connection.execute(rows.QUERIES["lock_thread"], waiting)
            cursor = await connection.execute(rows.QUERIES["come_due"], {"run_id": run_id})
            row = await cursor.fetchone()
            if row is None:
                return False
            due = rows.run_from(row)
            await connection.execute(rows.QUERIES["occupy_thread"], rows.occupying(due))
            cursor = await connection.execute(rows.QUERIES["contenders"], waiting)
            first = await cursor.fetchone()
            return first is not None and first["run_id"] == run_id


async def _enqueue_again(connection: database.Connection, claim: run.Claim, row: rows.Row) -> None:
    """Give a run another job in place of its own: one left behind would take the run from its next worker."""
    if claim.job is not None:
        await connection.execute(rows.QUERIES["remove_job"], claim.job._asdict())
    await jobs.enqueue(connection, rows.run_from(row))


def _ending(claim: run.Claim, ended: run.Run) -> rows.Row:
    job_id, manager_id = claim.job or (None, None)
    return {
        "run_id": ended.run_id,
        "thread_id": ended.thread_id,
        "epoch": claim.epoch,
        "status": ended.status,
        "error": rows.stored_failure(ended.error),
        "usage": rows.stored_usage(ended.usage),
        "job_id": job_id,
        "manager_id": manager_id,
    }


def claim_from(row: rows.Row, *, job: run.JobKey | None = None) -> run.Claim:
    return run.Claim(
        run=rows.run_from(row),
        epoch=row["epoch"],
        resumed=row["epoch_before"] is not None,
        last_seq=row["last_seq"],
        worked=row["worked"],
        found=run.ThreadStatus(row["rested"]),
        is_blank=row["is_blank"],
        job=job,
    )


async def _held(connection: database.Connection, query: str, claim: run.Claim, **values: object) -> rows.Row:
    cursor = await connection.execute(
        rows.QUERIES[query], {"run_id": claim.run.run_id, "epoch": claim.epoch, **values}
    )
    row = await cursor.fetchone()
    if row is None:
        raise exceptions.LeaseLost(str(claim.run.run_id))
    return row
