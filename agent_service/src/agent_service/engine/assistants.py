"""Assistants: one per graph, which nobody creates and everybody has, and those that people store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from agent_service import database, exceptions
from agent_service.engine import encoding, repository, rows, run
from agent_service.graphs import registry
from shared_schemas.problems import ErrorCode

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""When those of the graphs were made: clients want a date, and replicas must agree on it."""

_QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("assistants.sql").read_text()
)
_NESTED = ("configurable", "metadata")
"""The parts of a configuration that are merged name by name."""


class SortBy(StrEnum):
    """What assistants are sorted by."""

    ASSISTANT_ID = "assistant_id"
    GRAPH_ID = "graph_id"
    NAME = "name"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """A graph with what its runs are given unless they say otherwise."""

    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    version: int
    config: run.JsonObject
    context: run.JsonObject
    metadata: run.JsonObject
    created_at: datetime
    updated_at: datetime
    stored: bool = True
    """Somebody made it; it is not the one that a graph has by itself."""

    def config_of(self, given: run.JsonObject) -> run.JsonObject:
        """Return a run's configuration: its own, name by name, over the assistant's."""
        if not self.stored:
            return given
        merged = self.config | given
        for name in _NESTED:
            merged[name] = (self.config.get(name) or {}) | (given.get(name) or {})
        merged["metadata"] = self.metadata | merged["metadata"]
        return merged

    def context_of(self, given: run.JsonObject) -> run.JsonObject:
        return self.context | given


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which assistants to find."""

    graph_id: str | None = None
    name: str | None = None
    metadata: run.JsonObject
    sort_by: SortBy = SortBy.CREATED_AT
    ascending: bool = False
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistants:
    """Finds assistants, and keeps those of people. One that belongs to somebody else does not exist."""

    pool: database.Pool
    registry: registry.Registry

    async def find(self, named: str, *, owner: str) -> Assistant:
        """Return the assistant with an id or a graph's name.

        Raises:
            RequestError: UNKNOWN_GRAPH.
        """
        found = self._of_a_graph(named) or await self._stored(named, owner=owner)
        if found is None:
            raise exceptions.RequestError(ErrorCode.UNKNOWN_GRAPH, f"There is no assistant {named!r}.")
        return found

    async def create(
        self,
        given: Mapping[str, Any],
        *,
        assistant_id: UUID,
        owner: str,
        may_exist: bool = False,
        idempotency: run.IdempotencyKey | None = None,
    ) -> Assistant:
        """Keep an assistant; with `may_exist`, return the one that is there.

        Raises:
            RequestError: UNKNOWN_GRAPH, CONFLICT, or IDEMPOTENCY_KEY_REUSED.
        """
        self._check_graph(given["graph_id"])
        row = None
        if self._of_a_graph(str(assistant_id)) is None:
            values = _stored_fields(given) | {"assistant_id": assistant_id, "owner": owner}
            key = {
                "key": idempotency and idempotency.key,
                "digest": idempotency and idempotency.digest,
            }
            row = await self._one("insert_assistant", **values, **key)
        if row is None and idempotency is not None:
            row = await self._one("assistant_by_key", owner=owner, key=idempotency.key)
            if row is not None:
                repository.check_digest(row, idempotency)
        if row is not None:
            return _assistant(row)
        if may_exist:
            there = self._of_a_graph(str(assistant_id)) or await self._stored(str(assistant_id), owner=owner)
            if there is not None:
                return there
        raise exceptions.RequestError(ErrorCode.CONFLICT, f"Assistant {str(assistant_id)!r} exists already.")

    async def update(self, named: str, given: Mapping[str, Any], *, owner: str) -> Assistant:
        """Add a version and put it in force; what is not given stays, and metadata is merged.

        Raises:
            RequestError: UNKNOWN_GRAPH; FORBIDDEN for the assistant of a graph.
        """
        assistant_id = (await self._own(named, owner=owner)).assistant_id
        if given.get("graph_id") is not None:
            self._check_graph(given["graph_id"])
        values = _stored_fields(given) | {"assistant_id": assistant_id, "owner": owner}
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(_QUERIES["lock_assistant"], values)
            await connection.execute(_QUERIES["add_version"], values)
        return await self.find(str(assistant_id), owner=owner)

    async def set_latest(self, named: str, version: int, *, owner: str) -> Assistant:
        """Put a version in force.

        Raises:
            RequestError: UNKNOWN_GRAPH; NOT_FOUND for the version; FORBIDDEN for the assistant of a graph.
        """
        assistant_id = (await self._own(named, owner=owner)).assistant_id
        if await self._one("set_version", assistant_id=assistant_id, version=version) is None:
            raise exceptions.RequestError(ErrorCode.NOT_FOUND, f"The assistant has no version {version}.")
        return await self.find(str(assistant_id), owner=owner)

    async def delete(self, named: str, *, owner: str) -> UUID:
        """Delete an assistant with its versions. Runs that were created with it keep what they took.

        Raises:
            RequestError: UNKNOWN_GRAPH; FORBIDDEN for the assistant of a graph.
        """
        assistant_id = (await self._own(named, owner=owner)).assistant_id
        await self._one("delete_assistant", assistant_id=assistant_id, owner=owner)
        return assistant_id

    async def versions(
        self, named: str, *, owner: str, metadata: run.JsonObject, limit: int, offset: int
    ) -> list[Assistant]:
        """Return an assistant's versions, newest first.

        Raises:
            RequestError: UNKNOWN_GRAPH.
        """
        found = await self.find(named, owner=owner)
        if not found.stored:
            fits = metadata.items() <= found.metadata.items()
            return [found] if fits and not offset else []
        values = {"metadata": Jsonb(metadata), "limit": limit, "offset": offset}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                _QUERIES["versions"], values | {"assistant_id": found.assistant_id}
            )
            return [_assistant(row) for row in await cursor.fetchall()]

    async def search(self, wanted: Wanted, *, owner: str) -> tuple[list[Assistant], int]:
        """Return the assistants that fit, a page of them, and how many fit behind its beginning."""
        system = [asdict(_of(name)) for name in self.registry.names()]
        query = sql.SQL(_QUERIES["assistants"]).format(
            by=sql.Identifier(wanted.sort_by), direction=sql.SQL("ASC" if wanted.ascending else "DESC")
        )
        values = {
            "owner": owner,
            "system": encoding.storable(system),
            "graph_id": wanted.graph_id,
            "name": wanted.name,
            "metadata": Jsonb(wanted.metadata),
            "limit": wanted.limit,
            "offset": wanted.offset,
        }
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, values)
            found = await cursor.fetchall()
        return [_assistant(row) for row in found], found[0]["found"] if found else 0

    async def _own(self, named: str, *, owner: str) -> Assistant:
        found = await self.find(named, owner=owner)
        if not found.stored:
            raise exceptions.RequestError(
                ErrorCode.FORBIDDEN, "The assistant of a graph is everybody's: create one of your own."
            )
        return found

    async def _stored(self, named: str, *, owner: str) -> Assistant | None:
        try:
            assistant_id = UUID(named)
        except ValueError:
            return None
        row = await self._one("assistant", assistant_id=assistant_id, owner=owner)
        return None if row is None else _assistant(row)

    def _of_a_graph(self, named: str) -> Assistant | None:
        for name in self.registry.names():
            if named == name or named.lower() == str(registry.assistant_id(name)):
                return _of(name)
        return None

    def _check_graph(self, name: str) -> None:
        if name in self.registry.names():
            return
        raise exceptions.RequestError(ErrorCode.UNKNOWN_GRAPH, f"There is no graph {name!r}.")

    async def _one(self, query: str, **values: object) -> rows.Row | None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES[query], values)
            return await cursor.fetchone()


def _of(graph: str) -> Assistant:
    return Assistant(
        assistant_id=registry.assistant_id(graph),
        graph_id=graph,
        name=graph,
        description=None,
        version=1,
        config={},
        context={},
        metadata={"created_by": "system"},
        created_at=ALWAYS,
        updated_at=ALWAYS,
        stored=False,
    )


def _stored_fields(given: Mapping[str, Any]) -> rows.Row:
    objects = {name: given.get(name) for name in ("config", "context", "metadata")}
    texts = {name: given.get(name) for name in ("graph_id", "name", "description")}
    return texts | {name: None if value is None else Jsonb(value) for name, value in objects.items()}


def _assistant(row: rows.Row) -> Assistant:
    names = [item.name for item in fields(Assistant) if item.name in row]
    return Assistant(**{name: row[name] for name in names})
