"""Reads and writes the rows of runs and threads; every statement stands in a file beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import NoReturn
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from agent_service import checkpointing, database, exceptions
from agent_service.engine import rows, run
from shared_schemas.problems import ErrorCode

_QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("threads.sql").read_text(), **rows.COLUMNS
)


class ThreadSortBy(StrEnum):
    """What threads are sorted by."""

    THREAD_ID = "thread_id"
    STATUS = "status"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    STATE_UPDATED_AT = "state_updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadFilter:
    """Which of an owner's threads fit: metadata and values hold all that is named."""

    owner: str
    metadata: run.JsonObject
    values: run.JsonObject | None = None
    ids: Sequence[UUID] | None = None
    status: run.ThreadStatus | None = None

    @property
    def stored(self) -> rows.Row:
        return {
            "owner": self.owner,
            "metadata": Jsonb(self.metadata),
            "values": None if self.values is None else Jsonb(self.values),
            "ids": None if self.ids is None else list(self.ids),
            "status": self.status,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What the API reads and changes. Whatever belongs to another owner does not exist."""

    pool: database.Pool

    async def create_thread(
        self, new: run.NewThread, *, may_exist: bool = False, idempotency: run.IdempotencyKey | None = None
    ) -> run.Thread:
        """Create a thread; with `may_exist`, return the one that is there.

        Raises:
            RequestError: CONFLICT, or IDEMPOTENCY_KEY_REUSED.
        """
        async with self.pool.connection() as connection:
            created = await insert_thread(connection, new, idempotency)
        return created or await self.thread_that_is_there(new, may_exist=may_exist, idempotency=idempotency)

    async def thread_that_is_there(
        self, new: run.NewThread, *, may_exist: bool, idempotency: run.IdempotencyKey | None
    ) -> run.Thread:
        """Return what a thread was not created for: its own first creation, or another thread of its id.

        Raises:
            RequestError: CONFLICT, or IDEMPOTENCY_KEY_REUSED.
        """
        row = None
        if idempotency is not None:
            row = await self._one("thread_by_key", owner=new.owner, key=idempotency.key)
            if row is not None:
                check_digest(row, idempotency)
        if row is None and may_exist:
            row = await self._one("thread", thread_id=new.thread_id, owner=new.owner)
        if row is None:
            raise exceptions.RequestError(
                ErrorCode.CONFLICT, f"Thread {str(new.thread_id)!r} exists already."
            )
        return rows.thread_from(row)

    async def thread(self, thread_id: UUID, *, owner: str) -> run.Thread:
        """Return a thread.

        Raises:
            RequestError: NOT_FOUND.
        """
        row = await self._one("thread", thread_id=thread_id, owner=owner)
        return rows.thread_from(row or no_thread(thread_id))

    async def threads(
        self,
        wanted: ThreadFilter,
        *,
        sort_by: ThreadSortBy = ThreadSortBy.UPDATED_AT,
        ascending: bool = False,
        limit: int = 10,
        offset: int = 0,
    ) -> list[run.Thread]:
        """Return a page of the threads that fit."""
        query = sql.SQL(_QUERIES["search_threads"]).format(
            by=sql.Identifier(sort_by), direction=sql.SQL("ASC" if ascending else "DESC")
        )
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, wanted.stored | {"limit": limit, "offset": offset})
            return [rows.thread_from(row) for row in await cursor.fetchall()]

    async def count_threads(self, wanted: ThreadFilter) -> int:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES["count_threads"], wanted.stored)
            row = await cursor.fetchone()
            assert row is not None
            return int(row["found"])

    async def update_thread(
        self,
        thread_id: UUID,
        *,
        owner: str,
        metadata: run.JsonObject,
        expiry: run.Expiry | None = None,
        by_person: bool = False,
    ) -> run.Thread:
        """Merge metadata into a thread's, and set when it expires.

        Raises:
            RequestError: NOT_FOUND; FORBIDDEN.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await take(connection, thread_id, owner=owner, by_person=by_person)
            values = {"thread_id": thread_id, "owner": owner, "metadata": Jsonb(metadata)}
            cursor = await connection.execute(_QUERIES["change_thread"], values | _expiring(expiry))
            row = await cursor.fetchone()
        return rows.thread_from(row or no_thread(thread_id))

    async def delete_thread(self, thread_id: UUID, *, owner: str, by_person: bool = False) -> None:
        """Delete a thread with its runs, events and checkpoints.

        Raises:
            RequestError: NOT_FOUND; THREAD_BUSY while a run of it is not ended; FORBIDDEN.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await take(connection, thread_id, owner=owner, by_person=by_person)
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


async def insert_thread(
    connection: database.Connection, new: run.NewThread, idempotency: run.IdempotencyKey | None
) -> run.Thread | None:
    """Create a thread; nothing if its id or its idempotency key is taken."""
    values = {
        "thread_id": new.thread_id,
        "owner": new.owner,
        "metadata": Jsonb(new.metadata),
        "key": idempotency and idempotency.key,
        "digest": idempotency and idempotency.digest,
    }
    cursor = await connection.execute(_QUERIES["create_thread"], values | _expiring(new.expiry))
    row = await cursor.fetchone()
    return None if row is None else rows.thread_from(row)


async def take(
    connection: database.Connection, thread_id: UUID, *, owner: str, by_person: bool
) -> run.Thread:
    """Lock a thread for the transaction, to change it.

    Raises:
        RequestError: NOT_FOUND; FORBIDDEN for a person's own token, if runs with a mandate are on it.
    """
    cursor = await connection.execute(rows.QUERIES["lock_thread"], {"thread_id": thread_id})
    row = await cursor.fetchone()
    if row is None or row["owner"] != owner:
        no_thread(thread_id)
    thread = rows.thread_from(row)
    if by_person and thread.mandated:
        raise exceptions.RequestError(
            ErrorCode.FORBIDDEN,
            "What runs with a mandate work on is changed in Django; this token only reads it.",
        )
    return thread


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


def no_thread(thread_id: UUID) -> NoReturn:
    """Say that there is no such thread.

    Raises:
        RequestError: NOT_FOUND.
    """
    raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no thread {str(thread_id)!r}.")


def _no_run(run_id: UUID) -> NoReturn:
    raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"There is no run {str(run_id)!r}.")


def _expiring(expiry: run.Expiry | None) -> rows.Row:
    return {"ttl": expiry and expiry.ttl, "ttl_strategy": expiry and expiry.strategy}
