"""Checkpoints of threads: LangGraph's own tables, read by a serializer that rebuilds known types only."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncCursor, Cursor, errors
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from agent_service import database
from agent_service.settings import Pruning
from shared_schemas import crashing

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

FENCED = "LS001"
"""The SQLSTATE that `hold_run` and `end_run` raise."""

DELTA_COUNTERS = "counters_since_delta_snapshot"
"""In the metadata of checkpoints that hold a channel's changes only."""

GATHERED_FOR = timedelta(milliseconds=250)
"""How long the checkpoints of a run that does not wait for them wait for more of them."""

WRITES_GATHERED_FOR = timedelta(milliseconds=3)
"""How long a finished task's writes wait for the checkpoint behind them, where runs wait for checkpoints."""

_PARENT = 3
"""The place of the parent's id among the values of a checkpoint's row."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Statement:
    """A statement that waits to be sent."""

    query: Any
    rows: list[Any]
    is_many: bool


class Recorder(PostgresSaver):
    """Takes down the statements of a saver, and sends none.

    At once and where it is called: the saver that waits hands each value to a thread, which takes longer than
    to write it down.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        super().__init__(cast("Any", None), serde=serde)
        self.statements: list[Statement] = []

    def execute(self, query: Any, values: Sequence[Any]) -> None:
        # LangGraph changes parts of a checkpoint in place when the next step begins.
        written = tuple(_written(value) if isinstance(value, Jsonb) else value for value in values)
        self.statements.append(Statement(query=query, rows=[written], is_many=False))

    def executemany(self, query: Any, rows: Sequence[Any]) -> None:
        self.statements.append(Statement(query=query, rows=[*rows], is_many=True))

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:  # noqa: ARG002 - its base's
        yield cast("Cursor[DictRow]", self)


@dataclass(slots=True, kw_only=True)
class Step:
    """What is not written yet of one checkpoint: the checkpoint itself, and what its tasks wrote."""

    checkpoint_id: str
    parent_id: str | None = None
    own: list[Statement] = field(default_factory=list)
    writes: list[Statement] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Held:
    """What a saver and its copies hold together."""

    keeps_all: bool
    is_blank: bool = False
    """There is no checkpoint to be found."""

    leaves_one: bool = True
    steps: dict[str, list[Step]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    written: int = 0
    timer: asyncio.Task[None] | None = None
    failure: Exception | None = None


class FencedSaver(AsyncPostgresSaver):
    """Writes checkpoints for one worker's hold on one run, and refuses once another worker has it.

    What comes in quick succession is written together. A run that asked for `sync` waits for it, so that no
    step begins before the one in front of it is kept; another may lose as much as `GATHERED_FOR` to a crash.
    Where only the latest checkpoint is kept in the end, one that a later one replaced before it was written
    never is.
    """

    def __init__(
        self,
        pool: database.Pool,
        serde: JsonPlusSerializer,
        *,
        run_id: UUID,
        epoch: int,
        waits: bool,
        keeps_all: bool,
        is_blank: bool,
    ) -> None:
        super().__init__(pool, serde=serde)
        self.held = (run_id, epoch)
        self.waits = waits
        self.on_step: Callable[[], None] | None = None
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        # LangGraph copies the saver for graphs with types of their own, subgraphs among them.
        self._held = Held(keeps_all=keeps_all, is_blank=is_blank)

    @property
    def leaves_one(self) -> bool:
        """Tell whether nothing is to be pruned: the thread has one checkpoint, which came from here."""
        return self._held.leaves_one

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if self._held.is_blank:
            return None
        found = await super().aget_tuple(config)
        if found is not None:
            self._held.leaves_one = False
        return found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        namespace = config["configurable"]["checkpoint_ns"]
        if namespace or DELTA_COUNTERS in metadata:
            # A subgraph's checkpoints name the root's, and a delta needs all that came before it.
            self._held.keeps_all = True
            self._held.leaves_one = False
        self._held.is_blank = False
        recorder = Recorder(self.serde)
        given = recorder.put(config, checkpoint, metadata, new_versions)
        self._add(namespace, checkpoint, recorder.statements)
        await self._arrived(sync=self.waits)
        if self.on_step and metadata.get("source") == "loop":
            self.on_step()
        return given

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        place = config["configurable"]
        recorder = Recorder(self.serde)
        recorder.put_writes(config, writes, task_id, task_path)
        if place["checkpoint_id"] not in self._held.replaced:
            step = self._step(place["checkpoint_ns"], place["checkpoint_id"])
            step.writes += recorder.statements
            await self._arrived(sync=False)

    async def flush(self) -> None:
        """Write what waits; a write that has begun comes to its end, even if whoever waits for it is cancelled.

        Raises:
            psycopg.Error: what went wrong, now or since the last time; `is_fenced` tells a lost run.
        """
        if not self._held.steps and not self._writing.locked():
            return self.check()
        # LangGraph cancels twice what it needs no more. A pipeline that this meets while it ends leaves its
        # connection unusable.
        writing = asyncio.create_task(self._flush())
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(self._keep_failure)
            raise

    def _keep_failure(self, written: asyncio.Task[None]) -> None:
        """Keep for the next one what nobody waited for; what only has to be written again waits already."""
        error = None if written.cancelled() else written.exception()
        if isinstance(error, Exception) and not isinstance(error, database.AWAY):
            self._held.failure = error

    async def _flush(self) -> None:
        async with self.unwritten() as statements:
            if statements:
                # What goes through a pipeline is one transaction: psycopg ends it with the block, and not before.
                async with super()._cursor(pipeline=True) as cursor:
                    await cursor.execute("SELECT hold_run(%s, %s)", self.held)
                    await send(cursor, statements)

    @asynccontextmanager
    async def unwritten(self) -> AsyncIterator[Sequence[Statement]]:
        """Give what waits to whoever writes it now; it waits on if the connection breaks meanwhile.

        Raises:
            psycopg.Error: what went wrong since the last time.
        """
        async with self._writing:
            self.check()
            steps, self._held.steps = self._held.steps, {}
            statements = [
                statement for each in steps.values() for step in each for statement in step.own + step.writes
            ]
            try:
                yield statements
            except (*database.AWAY, *database.TOO_LONG):
                for namespace, later in self._held.steps.items():
                    steps.setdefault(namespace, []).extend(later)
                self._held.steps = steps
                raise
            if statements:
                crashing.point("checkpoint.after_commit")
            self._held.written += sum(bool(step.own) for each in steps.values() for step in each)
            if self._held.written > 1:
                self._held.leaves_one = False

    def check(self) -> None:
        """Say if something could not be written that nobody waited for.

        Raises:
            Exception: what went wrong.
        """
        if failure := self._held.failure:
            self._held.failure = None
            raise failure

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        await self.flush()
        async with super()._cursor(pipeline=pipeline) as cursor:
            yield cursor

    def _add(self, namespace: str, checkpoint: Checkpoint, own: Sequence[Statement]) -> None:
        """Put a checkpoint behind those that wait, or in their place."""
        steps = self._held.steps.setdefault(namespace, [])
        kept: list[Statement] = []
        *blobs, row = own
        if not self._held.keeps_all:
            for step in steps:
                kept += _still_used(step, checkpoint)
                row = _below(row, step.parent_id if step.own else step.checkpoint_id)
                self._held.replaced.add(step.checkpoint_id)
            steps.clear()
        parent = row.rows[0][_PARENT]
        steps.append(Step(checkpoint_id=checkpoint["id"], parent_id=parent, own=[*kept, *blobs, row]))

    def _step(self, namespace: str, checkpoint_id: str) -> Step:
        steps = self._held.steps.setdefault(namespace, [])
        for step in steps:
            if step.checkpoint_id == checkpoint_id:
                return step
        steps.append(Step(checkpoint_id=checkpoint_id))
        return steps[-1]

    async def _arrived(self, *, sync: bool) -> None:
        if sync:
            await self.flush()
        elif self._held.timer is None or self._held.timer.done():
            delay = WRITES_GATHERED_FOR if self.waits else GATHERED_FOR
            self._held.timer = asyncio.create_task(self._flush_later(delay))

    async def _flush_later(self, delay: timedelta) -> None:
        pause = delay
        while True:
            await asyncio.sleep(pause.total_seconds())
            try:
                return await self.flush()
            except database.AWAY:
                # What waits is kept, and nobody waits for it yet.
                pause = database.RECONNECT_DELAY
            except Exception as error:  # noqa: BLE001 - raised by whoever writes next
                self._held.failure = error
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Makes savers over the shared pool."""

    pool: database.Pool
    serializer: JsonPlusSerializer
    pruning: Pruning = Pruning.MANDATE

    def prunes(self, *, has_mandate: bool) -> bool:
        """Tell whether only the latest checkpoint is kept when a run ends."""
        return self.pruning is Pruning.ALWAYS or (self.pruning is Pruning.MANDATE and has_mandate)

    def saver(self) -> AsyncPostgresSaver:
        """Return a saver for one run: it locks itself around every statement, so runs do not share one."""
        return AsyncPostgresSaver(self.pool, serde=self.serializer)

    def saver_of(
        self,
        run_id: UUID,
        *,
        epoch: int,
        waits: bool = True,
        has_mandate: bool = False,
        is_blank: bool = False,
    ) -> FencedSaver:
        """Return a saver whose writes fail once another worker has the run; `waits` is for `sync`.

        It does not look for checkpoints of a thread that `is_blank`, before it wrote one.
        """
        return FencedSaver(
            self.pool,
            self.serializer,
            run_id=run_id,
            epoch=epoch,
            waits=waits,
            keeps_all=not self.prunes(has_mandate=has_mandate),
            is_blank=is_blank,
        )

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
    return database.has_state(error, FENCED)


async def send(cursor: AsyncCursor[Any], statements: Sequence[Statement]) -> None:
    """Write checkpoints in the pipeline of the cursor, behind a statement that fails if the run is lost."""
    crashing.point("checkpoint.before_write")
    for query, rows in _by_query(statements).items():
        await cursor.executemany(query, rows)
    crashing.point("checkpoint.before_commit")


def _by_query(statements: Sequence[Statement]) -> dict[str, list[Any]]:
    # Each is about rows of its own, or about the same as one before it by the same query.
    rows: dict[str, list[Any]] = {}
    for statement in statements:
        rows.setdefault(statement.query, []).extend(statement.rows)
    return rows


def _written(value: Jsonb) -> Jsonb:
    return Jsonb(json.dumps(value.obj), dumps=str)


def _below(row: Statement, parent_id: str | None) -> Statement:
    values = list(row.rows[0])
    values[_PARENT] = parent_id
    return replace(row, rows=[tuple(values)])


def _still_used(step: Step, checkpoint: Checkpoint) -> Iterator[Statement]:
    """Yield the values that a replaced checkpoint would have kept and the one behind it refers to."""
    for statement in step.own:
        if statement.is_many:
            versions = checkpoint["channel_versions"]
            rows = [row for row in statement.rows if versions.get(row[2]) == row[3]]
            if rows:
                yield replace(statement, rows=rows)


async def delete(connection: database.Connection, thread_id: UUID) -> None:
    """Delete a thread's checkpoints in the transaction of the connection."""
    for table in TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (str(thread_id),))  # noqa: S608 - names of ours
