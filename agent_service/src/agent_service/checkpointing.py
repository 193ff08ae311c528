"""Checkpoints of threads: LangGraph's own tables, read by a serializer that rebuilds known types only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncCursor, errors
from psycopg.rows import DictRow

from agent_service import database
from shared_schemas import crashing

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

FENCED = "LS001"
"""The SQLSTATE that `hold_run` raises."""

log = structlog.get_logger(__name__)


class FencedSaver(AsyncPostgresSaver):
    """Writes checkpoints for one worker's hold on one run, and refuses once another worker has it."""

    def __init__(self, pool: database.Pool, serde: JsonPlusSerializer, *, run_id: UUID, epoch: int) -> None:
        super().__init__(pool, serde=serde)
        self.held = (run_id, epoch)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        if not pipeline:
            async with super()._cursor() as cursor:
                yield cursor
            return
        # What is written goes through a pipeline, and may be several transactions without this one.
        async with super()._cursor(pipeline=True) as cursor, cursor.connection.transaction():
            await cursor.execute("SELECT hold_run(%s, %s)", self.held)
            crashing.point("checkpoint.before_write")
            yield cursor
            crashing.point("checkpoint.before_commit")
        crashing.point("checkpoint.after_commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Makes savers over the shared pool."""

    pool: database.Pool
    serializer: JsonPlusSerializer

    def saver(self) -> AsyncPostgresSaver:
        """Return a saver for one run: it locks itself around every statement, so runs do not share one."""
        return AsyncPostgresSaver(self.pool, serde=self.serializer)

    def saver_of(self, run_id: UUID, *, epoch: int) -> AsyncPostgresSaver:
        """Return a saver whose writes fail once another worker has the run."""
        return FencedSaver(self.pool, self.serializer, run_id=run_id, epoch=epoch)

    async def prune(self, thread_id: UUID) -> None:
        """Keep the latest checkpoint of a thread; leave it as it is if another run has begun."""
        try:
            await self.saver().aprune([str(thread_id)], strategy="keep_latest")
        except (errors.SerializationFailure, errors.DeadlockDetected, NotImplementedError) as error:
            log.info("checkpoints.not_pruned", thread_id=str(thread_id), reason=type(error).__name__)


def serializer() -> JsonPlusSerializer:
    """Return a serializer that rebuilds plain values and LangChain's messages.

    A graph adds the types of its own state when it is compiled: see `agent_service/__init__.py`.
    """
    return JsonPlusSerializer(allowed_msgpack_modules=None)


def is_fenced(error: Exception) -> bool:
    """Tell whether a checkpoint was refused because another worker has the run."""
    return isinstance(error, psycopg.Error) and error.sqlstate == FENCED


async def delete(connection: database.Connection, thread_id: UUID) -> None:
    """Delete a thread's checkpoints in the transaction of the connection."""
    for table in TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (str(thread_id),))  # noqa: S608 - names of ours
