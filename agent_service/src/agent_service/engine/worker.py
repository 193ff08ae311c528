"""Takes runs from the queue and sees them through, whatever happens to it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
from langgraph.errors import GraphDrained
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from agent_service import checkpointing, database, exceptions, webhooks
from agent_service.engine import (
    driver,
    encoding,
    executor,
    failures,
    housekeeping,
    jobs,
    leases,
    metrics,
    picking,
    pulse,
    queue,
    run,
)
from agent_service.events import log
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.usage import ModelUsage

MAX_BATCH = 10

RETRY_DELAY = timedelta(seconds=0.5)
WRITTEN_WITHIN = timedelta(seconds=4)
"""What a worker that stops gives its last writes while the database is away; then it leaves its runs to others."""

ADOPT_EVERY = timedelta(seconds=30)

UNWANTED_EVERY = timedelta(seconds=10)
"""Between the times when a worker asks which of its runs are to stop, in case it was not told."""

HEARD = 1000
"""How many cancels of runs that it does not have a worker keeps in mind: it may just be about to have one."""

# In a worker's methods `executor` is the field.
Execution = executor.Execution

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Work:
    """One run in this worker's hands."""

    execution: executor.Execution
    task: asyncio.Task[run.Outcome]
    cancelled: bool = False
    lost: bool = False

    def cancel(self) -> None:
        """Stop because somebody asked for the run's end."""
        if not self.cancelled:
            self.cancelled = True
            self.task.cancel()

    def lose(self) -> None:
        """Stop because another worker has the run."""
        if not self.lost:
            self.lost = True
            self.task.cancel()


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process's share of the work."""

    pool: database.Pool
    listener: database.Listener
    leases: leases.Leases
    executor: executor.Executor
    events: log.EventLog
    webhooks: webhooks.Deliverer
    pulse: pulse.Pulse
    concurrency: int
    total_concurrency: int | None
    limits: dict[str, int]
    """Runs at a time over all workers, for the lanes that have a limit of their own."""

    max_attempts: int
    heartbeat_timeout: timedelta
    drain_timeout: timedelta
    metrics: metrics.Metrics
    housekeeping: housekeeping.Housekeeping
    working: dict[UUID, Work] = field(default_factory=dict, init=False)
    heard: deque[UUID] = field(default_factory=lambda: deque(maxlen=HEARD), init=False)
    """Runs that were cancelled while this worker did not have them in hand."""

    deaf: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set when a cancel may have been missed."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    leaving: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set after `stopping`, if what is in hand cannot be written down."""

    async def _manager(self) -> QueueManager:
        statements = driver.PoolDriver(self.pool, self.listener)
        queries = picking.OwnJobs(statements)
        statements.matters = queries.matters
        manager = queries.manager = QueueManager(queries)
        queries.leases, queries.claims, queries.given_up = self.leases, {}, set()
        queries.pause, queries.leaving = manager.min_dequeue_poll_interval, self.leaving
        manager.shutdown = self.stopping

        async def take_up(job: Job) -> None:
            await self._take_up(job, queries)

        unlimited = dict.fromkeys(await _persist(self.leases.lanes), 0)
        for lane, limit in (unlimited | {jobs.LANE: self.total_concurrency or 0} | self.limits).items():
            manager.entrypoint(lane, concurrency_limit=limit, accepts_context=False)(take_up)
        return manager

    async def _take(self) -> None:
        manager = await self._manager()
        concurrency = max(self.concurrency, 2)
        async with self.pulse.beating(manager.queue_manager_id, lambda: list(manager.job_context)):
            await manager.run(
                batch_size=min(MAX_BATCH, concurrency // 2),
                max_concurrent_tasks=concurrency,
                heartbeat_timeout=self.heartbeat_timeout,
                dequeue_timeout=self.heartbeat_timeout / 4,
                # Nothing is logged.
                log_aggregation_interval=timedelta(0),
            )

    async def _drain(self) -> None:
        self.stopping.set()
        for work in self.working.values():
            work.execution.control.request_drain()
        crashing.point("worker.in_drain")
        running = [work.task for work in self.working.values()]
        if running:
            _, late = await asyncio.wait(running, timeout=self.drain_timeout.total_seconds())
            for task in late:
                task.cancel()

    async def _adopt(self) -> None:
        while True:
            await asyncio.sleep(ADOPT_EVERY.total_seconds())
            with suppress(*failures.PASSING):
                if adopted := await self.leases.adopt_orphans():
                    _log.warning("runs.adopted", run_ids=[str(run_id) for run_id in adopted])

    async def _stop_unwanted(self) -> None:
        """Cancel what somebody wants to end, though nobody said so here."""
        while True:
            self.deaf.clear()
            with suppress(*failures.PASSING):
                for run_id in await self.leases.unwanted(list(self.working)):
                    self._cancel(run_id)
            await log.wait(self.deaf, patience=UNWANTED_EVERY)

    async def _take_up(self, job: Job, picked: picking.OwnJobs) -> None:
        claim = picked.claims.pop(job.id, None)
        if claim is None:
            assert job.payload is not None
            run_id = UUID(bytes=job.payload)
            claim = await _persist(lambda: self.leases.claim(run_id, job=picked.key_of(job)))
        if claim is None:
            return
        with structlog.contextvars.bound_contextvars(
            run_id=str(claim.run.run_id), thread_id=str(claim.run.thread_id), epoch=claim.epoch
        ):
            self.metrics.began(claim.run)
            _log.info("run.claimed", attempt=claim.run.attempt, resumed=claim.resumed)
            crashing.point("worker.after_claim")
            try:
                await self._see_through(claim)
            except exceptions.LeaseLost:
                picked.given_up.add(job.id)
                _log.warning("run.lease_lost")

    async def _see_through(self, claim: run.Claim) -> None:
        asked = claim.run
        if asked.cancel_action is not None:
            await self._end(claim, _cancelled(asked))
        elif asked.attempt > self.max_attempts:
            await self._end(claim, _exhausted(asked, self.max_attempts))
        else:
            await self._execute(claim)

    async def _execute(self, claim: run.Claim) -> None:
        pen = log.Pen(run_id=claim.run.run_id, epoch=claim.epoch, seq=claim.last_seq)
        execution = self.executor.open(claim, pen)
        work = Work(execution=execution, task=asyncio.create_task(execution.perform()))
        pen.on_cancel, pen.on_lost = work.cancel, work.lose
        self.working[claim.run.run_id] = work
        if claim.run.run_id in self.heard:
            # It was cancelled after it was claimed, and before that was known here.
            work.cancel()
        if self.stopping.is_set():
            execution.control.request_drain()
        try:
            await asyncio.wait({work.task})
            await self._conclude(claim, work)
        except exceptions.LeaseLost:
            raise
        except Exception as error:  # the worker's boundary around one run
            if checkpointing.is_fenced(error):
                raise exceptions.LeaseLost(str(claim.run.run_id)) from error
            # What a graph leaves may be anything; a run that works for ever helps nobody.
            _log.exception("run.outcome_refused")
            failure = failures.failure_of(error)
            told = encoding.dumps({"error": failure.code, "message": failure.message})
            await self.events.append(work.execution.pen, "error", told)
            outcome = _refused(failure, used=work.execution.counter.totals())
            await self._end(claim, outcome, execution=work.execution)
        finally:
            # Only a worker that is killed softly leaves here with the task still running.
            work.task.cancel()
            self.working.pop(claim.run.run_id, None)

    async def _conclude(self, claim: run.Claim, work: Work) -> None:
        if work.lost:
            raise exceptions.LeaseLost(str(claim.run.run_id))
        if work.task.cancelled():
            if work.cancelled:
                outcome = await _persist(work.execution.cancelled)
                await self._end(claim, outcome, execution=work.execution)
            else:
                await self._release(claim, work)
            return
        error = work.task.exception()
        if error is None:
            await self._end(claim, work.task.result(), execution=work.execution)
        elif isinstance(error, GraphDrained):
            await self._release(claim, work)
        elif isinstance(error, exceptions.AttemptFailed):
            await self._postpone(claim, work, error)
        elif isinstance(error, Exception) and failures.is_passing(error):
            _log.warning("run.database_away", exc_info=error)
            await self._release(claim, work)
        else:
            raise error

    async def _end(self, claim: run.Claim, outcome: run.Outcome, execution: Execution | None = None) -> None:
        events = await self.events.close(execution.pen) if execution else []
        crashing.point("worker.before_end")
        saver = execution.saver if execution else None
        ended = await _persist(lambda: self.leases.end(claim, outcome, events, saver=saver))
        crashing.point("worker.after_end")
        self.metrics.ended(ended)
        _log.info("run.ended", status=ended.status, error=ended.error and ended.error.code)
        prunes = self.executor.checkpoints.prunes(has_mandate=ended.mandate_run is not None)
        if prunes and execution and not execution.leaves_one_checkpoint:
            await self.executor.checkpoints.prune(ended.thread_id)

    async def _release(self, claim: run.Claim, work: Work) -> None:
        events = await self.events.close(work.execution.pen)
        used = work.execution.counter.totals()
        crashing.point("worker.before_release")
        await _persist(lambda: self.leases.release(claim, used=used, events=events))
        crashing.point("worker.after_release")
        _log.info("run.released")

    async def _postpone(self, claim: run.Claim, work: Work, failed: exceptions.AttemptFailed) -> None:
        events = await self.events.close(work.execution.pen)
        used, values = work.execution.counter.totals(), work.execution.reading.values
        await _persist(
            lambda: self.leases.postpone(claim, pause=failed.pause, values=values, used=used, events=events)
        )
        self.metrics.postponed(claim.run)
        _log.info("run.postponed", attempt=claim.run.attempt, seconds=failed.pause.total_seconds())

    def _on_cancel(self, run_id: str) -> None:
        self._cancel(UUID(run_id))

    def _cancel(self, run_id: UUID) -> None:
        if work := self.working.get(run_id):
            work.cancel()
        else:
            self.heard.append(run_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then let each run reach the end of its superstep, and hand it on."""
        self.listener.subscribe(queue.CANCEL_CHANNEL, self._on_cancel)
        self.listener.subscribe_to_gaps(self.deaf.set)
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(work)
                for work in (
                    self.webhooks.run(),
                    self._adopt(),
                    self._stop_unwanted(),
                    self.housekeeping.run(),
                )
            ]
            taking = tasks.create_task(self._take())
            await stop.wait()
            await self._drain()
            _, unwritten = await asyncio.wait([taking], timeout=WRITTEN_WITHIN.total_seconds())
            if unwritten:
                self.leaving.set()
                _log.warning("worker.leaves_runs", run_ids=[str(run_id) for run_id in self.working])
            for task in (*beside, *unwritten):
                task.cancel()
        self.listener.unsubscribe(queue.CANCEL_CHANNEL, self._on_cancel)


async def _persist(write: Callable[[], Awaitable[T]]) -> T:
    """Repeat a write while the database is away; its epoch makes sure that it counts once."""
    while True:
        try:
            return await write()
        except psycopg.errors.ProgramLimitExceeded:
            # It is too large, and will be.
            raise
        except failures.PASSING:
            _log.warning("run.outcome_waits", exc_info=True)
        await asyncio.sleep(RETRY_DELAY.total_seconds())


def _cancelled(asked: run.Run) -> run.Outcome:
    # The worker before this one died with it; where its thread stands was not looked at since.
    return run.Outcome(
        status=run.RunStatus.INTERRUPTED, thread_status=run.ThreadStatus.INTERRUPTED, usage=asked.usage
    )


def _refused(failure: Failure, *, used: list[ModelUsage]) -> run.Outcome:
    return run.Outcome(
        status=run.RunStatus.ERROR,
        thread_status=run.ThreadStatus.ERROR,
        usage=used,
        error=failure,
    )


def _exhausted(asked: run.Run, max_attempts: int) -> run.Outcome:
    message = f"{max_attempts} workers died over this run."
    return run.Outcome(
        status=run.RunStatus.ERROR,
        thread_status=run.ThreadStatus.ERROR,
        usage=asked.usage,
        error=Failure(code=ErrorCode.ATTEMPTS_EXHAUSTED, message=message),
    )
