"""Removes what nobody reads any more: in small batches, by one process at a time."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from uuid import UUID

import structlog

from agent_service import checkpointing, database
from agent_service.engine import failures
from agent_service.settings import Pruning

LOCK = 7_263_541_908
"""An advisory lock of a transaction: whoever does not get it leaves the round to the one who has it."""

EVERY = timedelta(minutes=1)
BATCH = 200
JOBS_KEPT = timedelta(days=1)

_QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("housekeeping.sql").read_text()
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """What is kept how long."""

    pool: database.Pool
    checkpoints: checkpointing.Checkpoints
    event_retention: timedelta
    checkpoint_retention: timedelta
    webhook_retention: timedelta

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            try:
                done = await self.sweep()
                if any(done.values()):
                    _log.info("housekeeping.done", **done)
            except failures.PASSING:
                _log.warning("housekeeping.database_away", exc_info=True)

    async def sweep(self) -> dict[str, int]:
        """Remove all that is due, and return how much of each that was; nothing, if another process does it."""
        ages = {
            "events": self.event_retention,
            "results": self.event_retention,
            "webhooks": self.webhook_retention,
            "jobs": JOBS_KEPT,
        }
        done = {
            name: await _until_empty(functools.partial(self._batch, name, age)) for name, age in ages.items()
        }
        done["expired_threads"] = await _until_empty(self._expire)
        if self.checkpoints.pruning is not Pruning.NEVER:
            done["old_threads"] = await _until_empty(self._prune)
        return done

    async def _batch(self, name: str, age: timedelta) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            if not await database.is_my_turn(connection, LOCK):
                return 0
            cursor = await connection.execute(_QUERIES[name], {"age": age, "limit": BATCH})
            row = await cursor.fetchone()
            assert row is not None
            return int(row["done"])

    async def _expire(self) -> int:
        kept: list[UUID] = []
        async with self.pool.connection() as connection, connection.transaction():
            if not await database.is_my_turn(connection, LOCK):
                return 0
            cursor = await connection.execute(_QUERIES["expired_threads"], {"limit": BATCH})
            expired = await cursor.fetchall()
            for thread in expired:
                if thread["ttl_strategy"] == "delete":
                    await connection.execute(_QUERIES["drop_thread"], {"thread_id": thread["thread_id"]})
                    await checkpointing.delete(connection, thread["thread_id"])
                else:
                    await connection.execute(_QUERIES["renew_thread"], {"thread_id": thread["thread_id"]})
                    kept.append(thread["thread_id"])
        for thread_id in kept:
            await self.checkpoints.prune(thread_id)
        return len(expired)

    async def _prune(self) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            if not await database.is_my_turn(connection, LOCK):
                return 0
            cursor = await connection.execute(
                _QUERIES["old_threads"], {"age": self.checkpoint_retention, "limit": BATCH}
            )
            old = await cursor.fetchall()
        for thread in old:
            await self.checkpoints.prune(thread["thread_id"])
        return len(old)


async def _until_empty(batch: Callable[[], Awaitable[int]]) -> int:
    done = 0
    while taken := await batch():
        done += taken
    return done
