"""Checkpoints of threads: LangGraph's own tables, read by a serializer that rebuilds known types only."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import errors

from agent_service import database

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Makes savers over the shared pool."""

    pool: database.Pool
    serializer: JsonPlusSerializer

    def saver(self) -> AsyncPostgresSaver:
        """Return a saver for one run: it locks itself around every statement, so runs do not share one."""
        return AsyncPostgresSaver(self.pool, serde=self.serializer)

    async def prune(self, thread_id: UUID) -> None:
        """Keep the latest checkpoint of a thread; leave it as it is if another run has begun."""
        try:
            await self.saver().aprune([str(thread_id)], strategy="keep_latest")
        except (errors.SerializationFailure, errors.DeadlockDetected, NotImplementedError) as error:
            log.info("checkpoints.not_pruned", thread_id=str(thread_id), reason=type(error).__name__)


def serializer(types: set[tuple[str, str]] = frozenset()) -> JsonPlusSerializer:  # type: ignore[assignment]
    """Return a serializer that rebuilds LangChain's messages, plain values, and the given types."""
    return JsonPlusSerializer(allowed_msgpack_modules=sorted(types) or None)


async def delete(connection: database.Connection, thread_id: UUID) -> None:
    """Delete a thread's checkpoints in the transaction of the connection."""
    for table in TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (str(thread_id),))  # noqa: S608 - names of ours
