"""A worker's hold on runs: every write of it names its epoch, and fails once another worker has the run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from agent_service import database, exceptions
from agent_service.engine import endings, jobs, rows, run
from agent_service.events import log
from shared_schemas import crashing
from shared_schemas.usage import ModelUsage

ORPHANED_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Claims runs for one worker, and gives them back."""

    pool: database.Pool
    worker: str

    async def claim(self, run_id: UUID) -> run.Claim | None:
        """Take a run under a new epoch; nothing if it has ended."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                rows.QUERIES["claim_run"], {"run_id": run_id, "worker": self.worker}
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        return run.Claim(
            run=rows.run_from(row),
            epoch=row["epoch"],
            resumed=row["epoch_before"] is not None,
            last_seq=row["last_seq"],
        )

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
        self, claim: run.Claim, outcome: run.Outcome, events: Sequence[tuple[str, str]] = ()
    ) -> run.Run:
        """End a run, and everything that follows from it, at once.

        Raises:
            LeaseLost: another worker has the run.
        """
        run.check_move(claim.run.run_id, run.RunStatus.RUNNING, outcome.status)
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": claim.run.thread_id})
            row = await _held(connection, "end_run", claim, **rows.ending_values(outcome))
            ended = rows.run_from(row)
            await endings.follow_up(connection, ended, outcome=outcome, events=events)
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
            await jobs.enqueue(connection, rows.run_from(row))

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
            await endings.stay(connection, claim.run, values)
            await jobs.enqueue(connection, rows.run_from(row))

    async def adopt_orphans(self) -> list[UUID]:
        """Queue runs again that wait for a worker and have no job, however that came about."""
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(rows.QUERIES["orphans"], {"silence": ORPHANED_AFTER})
            orphans = [rows.run_from(row) for row in await cursor.fetchall()]
            for orphan in orphans:
                await jobs.enqueue(connection, orphan)
        return [orphan.run_id for orphan in orphans]


async def _held(connection: database.Connection, query: str, claim: run.Claim, **values: object) -> rows.Row:
    cursor = await connection.execute(
        rows.QUERIES[query], {"run_id": claim.run.run_id, "epoch": claim.epoch, **values}
    )
    row = await cursor.fetchone()
    if row is None:
        raise exceptions.LeaseLost(str(claim.run.run_id))
    return row
