"""A worker's sign of life, from a thread of its own: a node that computes for long holds up the loop, not this."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder

BEATS = 6
"""In each time that a worker may be silent."""

CONNECT_WITHIN = 5
"""Seconds."""

TIME_KEPT_EVERY = 10
"""Beats. How much less than that a run was worked on is not known once its worker died."""

_KEEP_TIME = (
    "UPDATE runs SET updated_at = now() WHERE run_id IN ("  # noqa: S608 - the name is pgqueuer's own
    "SELECT run_id FROM runs WHERE status = 'running' AND run_id IN ("
    f"SELECT encode(payload, 'hex')::uuid FROM {QueryQueueBuilder().qualified.queue_table}"
    " WHERE id = ANY(%s) AND queue_manager_id = %s)"
    # Waits for nobody, and so never for somebody who waits for it.
    " FOR NO KEY UPDATE SKIP LOCKED)"
)

_STATEMENT = (
    f"UPDATE {QueryQueueBuilder().qualified.queue_table}"  # noqa: S608 - the name is pgqueuer's own
    " SET heartbeat = now() WHERE id = ANY(%s) AND queue_manager_id = %s"
)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Pulse:
    """Renews a worker's lease on each job that it has in hand, and on none that others took since.

    It falls silent when the loop has not shown itself for long: what hangs for good goes on elsewhere.
    """

    url: str
    silence: timedelta
    """After so long a worker is taken for dead."""

    patience: timedelta
    """How long the loop may be held up."""

    _seen: float = field(default=0.0, init=False)
    """When the loop showed itself last."""

    @asynccontextmanager
    async def beating(self, worker: UUID, held: Callable[[], Sequence[int]]) -> AsyncIterator[None]:
        """Beat until the block ends; `held` is called in the thread, and returns ids of jobs."""
        self._seen = time.monotonic()
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over, worker, held), name="pulse", daemon=True)
        thread.start()
        showing = asyncio.create_task(self._show())
        try:
            yield
        finally:
            showing.cancel()
            over.set()
            await asyncio.to_thread(thread.join)

    async def _show(self) -> None:
        while True:
            self._seen = time.monotonic()
            await asyncio.sleep(self._pause)

    @property
    def _pause(self) -> float:
        return self.silence.total_seconds() / BEATS

    def _beat(self, over: threading.Event, worker: UUID, held: Callable[[], Sequence[int]]) -> None:
        while not over.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=CONNECT_WITHIN) as connection:
                    self._beat_over(connection, over, worker, held)
            except psycopg.OperationalError as error:
                _log.warning("pulse.database_away", reason=str(error))
                over.wait(self._pause)

    def _beat_over(
        self,
        connection: psycopg.Connection,
        over: threading.Event,
        worker: UUID,
        held: Callable[[], Sequence[int]],
    ) -> None:
        beats = 0
        while not over.wait(self._pause):
            jobs = held()
            if jobs and time.monotonic() < self._seen + self.patience.total_seconds():
                connection.execute(_STATEMENT, [jobs, worker])
                beats += 1
                if beats % TIME_KEPT_EVERY == 0:
                    connection.execute(_KEEP_TIME, [jobs, worker])
