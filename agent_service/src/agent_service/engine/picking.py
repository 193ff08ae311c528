"""How a worker takes jobs from pgqueuer's queue, with the runs that they are about."""

import asyncio
import functools
from datetime import timedelta

from pgqueuer.adapters.persistence.composer import ComposedQuery
from pgqueuer.adapters.persistence.queries import Queries, lost_capacity_slot_race
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job, TracebackRecord
from pgqueuer.domain.types import JOB_STATUS, JobId, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter
from psycopg.errors import UniqueViolation
from pydantic import BaseModel

from agent_service.engine import leases, rows, run

_DELETION = '"operation" : "delete"'
"""In the notification of pgqueuer's trigger."""

_LOG = ",\n\n-- Record the pick in the log table.\n"
"""Before what pgqueuer's statement does beside taking jobs."""

_JOBS = "SELECT * FROM claimed ORDER BY priority DESC, id ASC;"
_RUNS = """
SELECT to_jsonb(claimed) - 'payload' AS job, claimed.payload AS job_payload,
    {run}, runs.worked, taken.epoch_before, taken.rested, taken.last_seq, taken.is_blank
FROM claimed
LEFT JOIN LATERAL (
    SELECT run_id FROM runs
    WHERE run_id = encode(claimed.payload, 'hex')::uuid AND claimed.id <> ALL({in_hand}::text::bigint[])
    FOR UPDATE SKIP LOCKED
) AS free ON true
LEFT JOIN LATERAL claim_run(free.run_id, {worker}::text, {prompts}::jsonb) AS taken ON true
CROSS JOIN LATERAL (SELECT (taken.held).*) AS runs
ORDER BY claimed.priority DESC, claimed.id
"""


class _Soonest(BaseModel):
    queued: int
    eligible: int
    eta: timedelta | None


class OwnJobs(Queries):
    """A worker that slept past its lease does not remove the jobs that others took since.

    What pgqueuer asks one by one whenever it wakes is asked at once here, and not twice; and the runs are claimed
    by the statement that takes their jobs.
    """

    manager: QueueManager
    leases: leases.Leases
    pause: timedelta
    """Before jobs are asked for again that could not be taken, for want of room."""

    has_backlog: bool = False
    """There may be jobs that wait for others to end."""

    claims: dict[JobId, run.Claim]
    """On the runs of jobs that were taken; what is missing is claimed when its job begins."""

    given_up: set[JobId]
    """Jobs in hand whose runs others had. Those that were cancelled are given up, too."""

    leaving: asyncio.Event
    """Set when nothing is written any more: what is in hand is taken over when its lease is over."""

    _taken: int = 0
    _is_exhausted: bool = False
    _next_eta: timedelta | None = None
    _queued: int = 0

    def matters(self, notification: str) -> bool:
        """Tell whether a change of the queue may mean work: a job that ended only makes room for others."""
        return self.has_backlog or _DELETION not in notification

    async def update_heartbeat(self, job_ids: list[JobId]) -> None:
        """Leave it to the pulse, which a busy loop does not hold up."""

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[Job]:
        if self._is_exhausted:
            self._is_exhausted = False
            return []
        jobs = self.qbq.build_dequeue_query(
            batch_size=batch_size,
            entrypoints=list(entrypoints),
            concurrency_limits=[given.concurrency_limit for given in entrypoints.values()],
            queue_manager_id=queue_manager_id,
            global_concurrency_limit=global_concurrency_limit,
            heartbeat_timeout=heartbeat_timeout,
        )
        found = await self._taken_with_runs(jobs)
        if found is None:
            found = await super().dequeue(
                batch_size, entrypoints, queue_manager_id, global_concurrency_limit, heartbeat_timeout
            )
        self._taken = len(found)
        self._is_exhausted = 0 < len(found) < batch_size
        return found

    async def _taken_with_runs(self, jobs: ComposedQuery) -> list[Job] | None:
        """Take jobs and claim their runs; nothing, if one of the runs is not to be claimed now."""
        statement = _with_runs(jobs.sql, len(jobs.args))
        in_hand = "{" + ",".join(map(str, self.manager.job_context)) + "}"
        try:
            found = await self.driver.fetch(
                statement, *jobs.args, in_hand, self.leases.worker, self.leases.stored_prompts
            )
        except UniqueViolation as error:
            if not lost_capacity_slot_race(error, f"{self.qbe.settings.queue_table}_picked_slot_idx"):
                # Two runs of one thread: whoever takes up the job of the second finds out, alone.
                return None
            found = []
        return [self._claimed(row) for row in found]

    async def eligible_queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:
        table = self.qbq.qualified.queue_table
        (row,) = await self.driver.fetch(
            "SELECT count(*) AS queued, count(*) FILTER (WHERE execute_after <= now()) AS eligible,"  # noqa: S608
            " min(execute_after) FILTER (WHERE execute_after > now()) - now() AS eta FROM ("
            f"(SELECT execute_after FROM {table} WHERE status = 'queued' AND entrypoint = ANY($1)"
            " AND execute_after <= now() LIMIT 1) UNION ALL"
            f" (SELECT execute_after FROM {table} WHERE status = 'queued' AND entrypoint = ANY($1)"
            " AND execute_after > now() ORDER BY execute_after LIMIT 1)) AS soonest",
            entrypoints,
        )
        found = _Soonest.model_validate(row)
        self._queued, self._next_eta = found.queued, found.eta
        self.has_backlog = found.eligible > 0
        # Jobs that came while the last ones were taken are taken at once.
        self.manager.min_dequeue_poll_interval = timedelta(0) if self._taken else self.pause
        return found.eligible

    async def next_deferred_eta(self, entrypoints: list[QueueEntrypoint]) -> timedelta | None:  # noqa: ARG002 - its base's
        return self._next_eta

    async def queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:  # noqa: ARG002 - its base's
        return self._queued

    async def log_jobs(self, job_status: list[tuple[Job, JOB_STATUS, TracebackRecord | None]]) -> None:
        if self.leaving.is_set():
            return
        left = [entry for entry in job_status if entry[0].id not in self.leases.done]
        self.leases.done.difference_update(job.id for job, _, _ in job_status)
        given_up = [job.id for job, status, _ in left if status == "canceled" or job.id in self.given_up]
        if given_up:
            await self._give_back(given_up)
            self.given_up.difference_update(given_up)
            left = [entry for entry in left if entry[0].id not in given_up]
        if left:
            owned = set(await self._owned([job.id for job, _, _ in left]))
            await super().log_jobs([entry for entry in left if entry[0].id in owned])

    async def _give_back(self, job_ids: list[JobId]) -> None:
        """Queue those jobs again that are ours: whoever had their runs stood still, and we took them in hand anew."""
        await self.driver.execute(
            f"UPDATE {self.qbq.qualified.queue_table}"  # noqa: S608 - the name is pgqueuer's own
            " SET status = 'queued', queue_manager_id = NULL, updated = now()"
            " WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2 AND status = 'picked'",
            job_ids,
            self.manager.queue_manager_id,
        )

    async def _owned(self, job_ids: list[JobId]) -> list[JobId]:
        found = await self.driver.fetch(
            f"SELECT id FROM {self.qbq.qualified.queue_table}"  # noqa: S608 - the name is pgqueuer's own
            " WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2",
            job_ids,
            self.manager.queue_manager_id,
        )
        return [JobId(int(str(row["id"]))) for row in found]

    def key_of(self, job: Job) -> run.JobKey:
        """Return what names a job in this worker's hands."""
        return run.JobKey(job.id, self.manager.queue_manager_id)

    def _claimed(self, row: rows.Row) -> Job:
        job = Job.model_validate(row["job"] | {"payload": row["job_payload"]})
        if row["run_id"] is not None:
            self.claims[job.id] = leases.claim_from(row, job=self.key_of(job))
        return job


@functools.cache
def _with_runs(jobs: str, used: int) -> str:
    """Return pgqueuer's statement that takes jobs as one that claims their runs, too, and does not log it.

    Left out are runs that somebody else holds just now, and those of jobs in hand, whose pulse was late: pgqueuer
    passes over them.
    """
    taking, _, rest = jobs.partition(_LOG)
    assert rest.endswith(_JOBS), f"pgqueuer takes jobs by another statement: {jobs}"
    places = {
        name: f"${used + place}" for place, name in enumerate(("in_hand", "worker", "prompts"), start=1)
    }
    return taking + _RUNS.format(run=", ".join(rows.COLUMNS["run"]), **places)
