"""Changes of whole threads: their state, copies of them, and what is left of them."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any
from uuid import UUID

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.types import StateSnapshot, StateUpdate

from agent_service import checkpointing, database, exceptions
from agent_service.engine import encoding, looking, repository, rows, run
from agent_service.graphs import registry, shapes
from shared_schemas.problems import ErrorCode

_QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("threads.sql").read_text(), **rows.COLUMNS
)

Superstep = Sequence[StateUpdate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """Changes threads as a whole. One that belongs to somebody else does not exist."""

    pool: database.Pool
    repository: repository.Repository
    registry: registry.Registry
    checkpoints: checkpointing.Checkpoints

    async def create_with(
        self,
        supersteps: Sequence[Superstep],
        new: run.NewThread,
        *,
        idempotency: run.IdempotencyKey | None = None,
    ) -> run.Thread | None:
        """Create a thread in the state that supersteps make; nothing if it is there already.

        Raises:
            RequestError: INVALID_REQUEST if the graph cannot take them.
        """
        async with self.pool.connection() as connection, connection.transaction():
            created = await repository.insert_thread(connection, new, idempotency)
            if created is None:
                return None
            config = _config(new.thread_id, {})
            _, thread = await self._write(connection, created, config, supersteps)
            return thread

    async def update_state(
        self,
        thread_id: UUID,
        update: StateUpdate,
        *,
        owner: str,
        by_person: bool = False,
        checkpoint: run.JsonObject | None = None,
    ) -> RunnableConfig:
        """Change a thread's state as if a node had, and return where it stands then.

        Raises:
            RequestError: NOT_FOUND; THREAD_BUSY while a run is not ended; FORBIDDEN; INVALID_REQUEST if the graph
                cannot take it.
        """
        async with self.pool.connection() as connection, connection.transaction():
            thread = await self._take(connection, thread_id, owner=owner, by_person=by_person)
            config = _config(thread_id, checkpoint or {})
            after, _ = await self._write(connection, thread, config, [[update]])
            return after

    async def last_given(self, thread_ids: Sequence[UUID]) -> dict[UUID, run.JsonObject]:
        """Return the `config` and `context` of each thread's last run; nothing for one without runs."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES["last_given"], {"thread_ids": list(thread_ids)})
            found = await cursor.fetchall()
        return {
            row["thread_id"]: {name: row[name] for name in ("config", "context") if row[name]}
            for row in found
        }

    async def copy(self, thread_id: UUID, *, owner: str) -> run.Thread:
        """Copy a thread with its checkpoints, without its runs.

        Raises:
            RequestError: NOT_FOUND.
        """
        values = {"thread_id": thread_id, "owner": owner, "copy": uuid.uuid4()}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES["copy_thread"], values)
            row = await cursor.fetchone()
        return rows.thread_from(row or repository.no_thread(thread_id))

    async def prune(self, thread_ids: Sequence[UUID], *, owner: str, by_person: bool, deletes: bool) -> int:
        """Delete threads, or all but their latest checkpoint, and count them. Busy ones are left alone."""
        pruned = 0
        for thread_id in dict.fromkeys(thread_ids):
            with suppress(exceptions.RequestError):
                if deletes:
                    await self.repository.delete_thread(thread_id, owner=owner, by_person=by_person)
                else:
                    async with self.pool.connection() as connection, connection.transaction():
                        await self._take(connection, thread_id, owner=owner, by_person=by_person)
                    # It looks for itself whether a run began meanwhile.
                    await self.checkpoints.prune(thread_id)
                pruned += 1
        return pruned

    async def delete_of(self, assistant_id: UUID, *, owner: str, by_person: bool) -> None:
        """Delete the threads that an assistant was last used on.

        Raises:
            RequestError: THREAD_BUSY; FORBIDDEN.
        """
        values = {"owner": owner, "assistant_id": str(assistant_id)}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES["threads_of_assistant"], values)
            found = await cursor.fetchall()
        for row in found:
            await self.repository.delete_thread(row["thread_id"], owner=owner, by_person=by_person)

    async def _take(
        self, connection: database.Connection, thread_id: UUID, *, owner: str, by_person: bool
    ) -> run.Thread:
        thread = await repository.take(connection, thread_id, owner=owner, by_person=by_person)
        cursor = await connection.execute(rows.QUERIES["contenders"], {"thread_id": thread_id})
        if await cursor.fetchone():
            raise exceptions.RequestError(ErrorCode.THREAD_BUSY, "A run of the thread is not ended.")
        return thread

    async def _write(
        self,
        connection: database.Connection,
        thread: run.Thread,
        config: RunnableConfig,
        supersteps: Sequence[Superstep],
    ) -> tuple[RunnableConfig, run.Thread]:
        """Write in the transaction of the connection, which has the thread's row."""
        built = await looking.graph_of(self.registry, thread)
        if built is None:
            raise exceptions.RequestError(
                ErrorCode.INVALID_REQUEST, "The thread has no graph yet: create it with a 'graph_id'."
            )
        # Everything of it goes through this connection, so that all of it is there or nothing.
        graph = built.copy(
            {"checkpointer": AsyncPostgresSaver(connection, serde=self.checkpoints.serializer)}
        )
        config = {**config, "metadata": {shapes.FINGERPRINT: self.registry.fingerprint(built)}}
        try:
            after = await graph.abulk_update_state(config, supersteps)
            snapshot = await graph.aget_state(_config(thread.thread_id, {}))
        except psycopg.Error:
            raise
        except Exception as error:
            # What a graph's reducers and branches raise for values that they cannot take may be anything.
            raise exceptions.RequestError(
                ErrorCode.INVALID_REQUEST, f"The graph cannot take this update: {error}"
            ) from error
        cursor = await connection.execute(_QUERIES["leave_edited"], _left(thread, snapshot))
        row = await cursor.fetchone()
        assert row is not None
        return after, rows.thread_from(row)


def _config(thread_id: UUID, checkpoint: run.JsonObject) -> RunnableConfig:
    return {"configurable": {"checkpoint_ns": ""} | checkpoint | {"thread_id": str(thread_id)}}


def _left(thread: run.Thread, snapshot: StateSnapshot) -> dict[str, Any]:
    status = run.ThreadStatus.INTERRUPTED if snapshot.next else run.ThreadStatus.IDLE
    return {
        "thread_id": thread.thread_id,
        "status": status,
        "values": encoding.storable(snapshot.values),
        "interrupts": encoding.storable(looking.interrupts(snapshot)),
    }
