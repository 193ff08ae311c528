"""Reads and writes the rows of runs and threads; every statement stands in `queries.sql`."""

from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from psycopg.types.json import Jsonb

from agent_service import checkpointing, database, exceptions
from agent_service.engine import rows, run
from shared_schemas.problems import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What the API reads and changes. Whatever belongs to another owner does not exist."""

    pool: database.Pool

    async def create_thread(
        self,
        *,
        thread_id: UUID,
        owner: str,
        metadata: run.JsonObject,
        may_exist: bool = False,
        idempotency: run.IdempotencyKey | None = None,
    ) -> run.Thread:
        """Create a thread; with `may_exist`, return the one that is there.

        Raises:
            RequestError: CONFLICT, or IDEMPOTENCY_KEY_REUSED.
        """
        row = await self._one(
            "insert_thread",
            thread_id=thread_id,
            owner=owner,
            metadata=Jsonb(metadata),
            key=idempotency and idempotency.key,
            digest=idempotency and idempotency.digest,
        )
        if row is None and idempotency is not None:
            row = await self._one("thread_by_key", owner=owner, key=idempotency.key)
            if row is not None:
                check_digest(row, idempotency)
        if row is None and may_exist:
            row = await self._one("thread", thread_id=thread_id, owner=owner)
        if row is None:
            raise exceptions.RequestError(ErrorCode.CONFLICT, f"Thread {str(thread_id)!r} exists already.")
        return rows.thread_from(row)

    async def thread(self, thread_id: UUID, *, owner: str) -> run.Thread:
        """Return a thread.

        Raises:
            RequestError: NOT_FOUND.
        """
        row = await self._one("thread", thread_id=thread_id, owner=owner)
        return rows.thread_from(row or _no_thread(thread_id))

    async def threads(
        self,
        *,
        owner: str,
        metadata: run.JsonObject,
        status: run.ThreadStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[run.Thread]:
        """Return the threads whose metadata holds all of `metadata`, latest first."""
        found = await self._all(
            "threads", owner=owner, metadata=Jsonb(metadata), status=status, limit=limit, offset=offset
        )
        return [rows.thread_from(row) for row in found]

    async def update_thread(self, thread_id: UUID, *, owner: str, metadata: run.JsonObject) -> run.Thread:
        """Merge metadata into a thread's.

        Raises:
            RequestError: NOT_FOUND.
        """
        row = await self._one("update_thread", thread_id=thread_id, owner=owner, metadata=Jsonb(metadata))
        return rows.thread_from(row or _no_thread(thread_id))

    async def delete_thread(self, thread_id: UUID, *, owner: str) -> None:
        """Delete a thread with its runs, events and checkpoints.

        Raises:
            RequestError: NOT_FOUND; THREAD_BUSY while a run of it is not ended.
        """
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": thread_id})
            thread = await cursor.fetchone()
            if thread is None or thread["owner"] != owner:
                _no_thread(thread_id)
            cursor = await connection.execute(rows.QUERIES["unfinished_runs"], {"thread_id": thread_id})
            if await cursor.fetchone():
                raise exceptions.RequestError(
                    ErrorCode.THREAD_BUSY, "A run of the thread is not ended; cancel it first."
                )
            await connection.execute(rows.QUERIES["delete_thread"], {"thread_id": thread_id})
            await checkpointing.delete(connection, thread_id)

    async def runs(
        self,
        thread_id: UUID,
        *,
        owner: str,
        status: run.RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[run.Run]:
        """Return a thread's runs, newest first.

        Raises:
            RequestError: NOT_FOUND.
        """
        await self.thread(thread_id, owner=owner)
        found = await self._all("runs", thread_id=thread_id, status=status, limit=limit, offset=offset)
        return [rows.run_from(row) for row in found]

    async def result(self, run_id: UUID) -> run.Result | None:
        """Return what a run that has ended left; nothing if it was taken back, or ended long ago."""
        row = await self._one("result", run_id=run_id)
        return None if row is None else rows.result_from(row)

    async def run(self, run_id: UUID, *, thread_id: UUID, owner: str) -> run.Run:
        """Return a run.

        Raises:
            RequestError: NOT_FOUND.
        """
        row = await self._one("run", run_id=run_id, thread_id=thread_id, owner=owner)
        return rows.run_from(row or _no_run(run_id))

    async def _one(self, query: str, **values: object) -> rows.Row | None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES[query], values)
            return await cursor.fetchone()

    async def _all(self, query: str, **values: object) -> list[rows.Row]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(rows.QUERIES[query], values)
            return await cursor.fetchall()


def check_digest(row: rows.Row, idempotency: run.IdempotencyKey) -> None:
    """Refuse a key that was used for another body.

    Raises:
        RequestError: IDEMPOTENCY_KEY_REUSED.
    """
    if row["body_digest"] != idempotency.digest:
        raise exceptions.RequestError(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            f"The Idempotency-Key {idempotency.key!r} was used for a different request.",
        )


def _no_thread(thread_id: UUID) -> NoReturn:
    raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no thread {str(thread_id)!r}.")


def _no_run(run_id: UUID) -> NoReturn:
    raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no run {str(run_id)!r}.")
