"""LangGraph's side of the checkpointer."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Q, QuerySet
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from mandate import models, threads
from mandate.checkpointing import pruning, rows


class DjangoSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of graphs in Django's database.

    The asynchronous methods work where Django's asynchronous ORM does: on the connection, and in the
    transaction, of the code that `async_to_sync` was called from. The synchronous ones work in whatever thread
    LangGraph calls them from, each on a connection of its own: what they write is committed at once, whatever
    becomes of the caller's transaction.

    Values are stored once for each version of a channel. They are rebuilt only if they are plain, a message of
    LangChain's or of a type that the graph's schemas name; `with_allowlist` adds others, and `serde` is any
    serializer of LangGraph's.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        if serde is None and not _msgpack.STRICT_MSGPACK_ENABLED:
            raise ImproperlyConfigured(
                "LangGraph was imported before `mandate`, or LANGGRAPH_STRICT_MSGPACK is off, so that it tells "
                "savers nothing of graphs' types. Put LANGGRAPH_STRICT_MSGPACK=true into the environment, or "
                "give a `serde`."
            )
        super().__init__(serde=serde or JsonPlusSerializer(allowed_msgpack_modules=None))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        with rows.connected():
            return self._get_tuple(config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await sync_to_async(self._get_tuple)(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        pages = self._pages(_chosen(config, filter, before), limit)
        while True:
            with rows.connected():
                page = _following(pages)
            if not page:
                return
            yield from page

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        pages = self._pages(_chosen(config, filter, before), limit)
        while page := await sync_to_async(_following)(pages):
            for one in page:
                yield one

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        with rows.connected():
            return self._put(config, checkpoint, metadata, new_versions)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await sync_to_async(self._put)(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        with rows.connected():
            self._put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await sync_to_async(self._put_writes)(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        self.prune([thread_id], strategy="delete")

    async def adelete_thread(self, thread_id: str) -> None:
        await self.aprune([thread_id], strategy="delete")

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        with rows.connected():
            _delete_for_runs(run_ids)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await sync_to_async(_delete_for_runs)(run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        with rows.connected():
            rows.copy(str(source_thread_id), str(target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await sync_to_async(rows.copy)(str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete threads, or all of each but what is needed to go on: see `pruning.keep_latest`."""
        with rows.connected():
            _prune(thread_ids, strategy)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await sync_to_async(_prune)(thread_ids, strategy)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        with rows.connected():
            return self._delta_history(config, channels)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await sync_to_async(self._delta_history)(config, channels)

    def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002 - LangGraph's signature
        """Return a version after this one; two forks of a checkpoint never give theirs the same."""
        number = int(str(current).partition(".")[0]) + 1 if current else 1
        return f"{number:020}.{secrets.token_hex(8)}"

    def _get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = rows.of_thread(*_place(config))
        if checkpoint_id := get_checkpoint_id(config):
            found = found.filter(checkpoint_id=checkpoint_id)
        while (row := found.first()) is not None:
            # One that was pruned while it was read has a successor.
            for one in rows.whole([row]):
                return self._tuple(one)
        return None

    def _pages(
        self, chosen: QuerySet[models.Checkpoint], limit: int | None
    ) -> Iterator[Sequence[CheckpointTuple]]:
        left = limit
        rest = chosen
        while left is None or left > 0:
            page = list(rest[: rows.PAGE if left is None else min(left, rows.PAGE)])
            if not page:
                return
            if read := rows.whole(page):
                yield [self._tuple(one) for one in read]
            last = page[-1].checkpoint_id
            rest = chosen.filter(Q(checkpoint_id__lt=last) | Q(checkpoint_id=last, pk__lt=page[-1].pk))
            left = None if left is None else left - len(page)

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace = _place(config)
        body: dict[str, Any] = dict(checkpoint)
        values = body.pop("channel_values")
        row = models.Checkpoint(
            thread_id=thread_id,
            namespace=namespace,
            checkpoint_id=checkpoint["id"],
            parent_id=get_checkpoint_id(config),
            body=body,
            metadata=get_serializable_checkpoint_metadata(config, metadata),
        )
        rows.keep(
            row, [self._blob(row, channel, str(new_versions[channel]), values) for channel in new_versions]
        )
        return _config(row, checkpoint["id"])

    def _blob(
        self, row: models.Checkpoint, channel: str, version: str, values: Mapping[str, Any]
    ) -> models.CheckpointBlob:
        kind, data = self.serde.dumps_typed(values[channel]) if channel in values else (rows.EMPTY, b"")
        return models.CheckpointBlob(
            thread_id=row.thread_id,
            namespace=row.namespace,
            channel=channel,
            version=version,
            type=kind,
            data=data,
        )

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        thread_id, namespace = _place(config)
        typed = [(channel, *self.serde.dumps_typed(value)) for channel, value in writes]
        rows.keep_writes(
            models.CheckpointWrite(
                thread_id=thread_id,
                namespace=namespace,
                checkpoint_id=config["configurable"]["checkpoint_id"],
                task_id=task_id,
                task_path=task_path,
                position=WRITES_IDX_MAP.get(channel, number),
                channel=channel,
                type=kind,
                data=data,
            )
            for number, (channel, kind, data) in enumerate(typed)
        )

    def _tuple(self, one: rows.Whole) -> CheckpointTuple:
        row = one.row
        values = {channel: self._value(blob) for channel, blob in one.blobs.items()}
        checkpoint: Any = row.body | {"channel_values": values}
        metadata: Any = row.metadata
        return CheckpointTuple(
            config=_config(row, row.checkpoint_id),
            checkpoint=checkpoint,
            metadata=metadata,
            parent_config=_config(row, row.parent_id) if row.parent_id else None,
            pending_writes=[(write.task_id, write.channel, self._value(write)) for write in one.writes],
        )

    def _delta_history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        found = rows.of_thread(*_place(config))
        if checkpoint_id := get_checkpoint_id(config):
            found = found.filter(checkpoint_id=checkpoint_id)
        while channels and (row := found.first()) is not None:
            histories, read = {}, [row]
            for channel in channels:
                line, seed = _line_to_value(row, channel)
                histories[channel] = self._history_of(channel, line, seed)
                read = max(read, line, key=len)
            if rows.are_there(read):
                return histories
        return {channel: {"writes": []} for channel in channels}

    def _history_of(
        self, channel: str, line: Sequence[models.Checkpoint], seed: models.Checkpoint | None
    ) -> DeltaChannelHistory:
        writes = rows.writes_of(line)
        history: DeltaChannelHistory = {
            "writes": [
                (write.task_id, channel, self._value(write))
                for step in reversed(line)
                for write in writes.get((step.thread_id, step.namespace, step.checkpoint_id), ())
                if write.channel == channel
            ]
        }
        if seed and (blob := rows.value(seed, channel)):
            history["seed"] = self._value(blob)
        return history

    def _value(self, stored: models.CheckpointBlob | models.CheckpointWrite) -> Any:
        return self.serde.loads_typed((stored.type, bytes(stored.data)))


def _place(config: RunnableConfig) -> tuple[str, str]:
    """Return the thread and the namespace that a configuration is about."""
    given = config["configurable"]
    return str(given["thread_id"]), given.get("checkpoint_ns", "")


def _config(row: models.Checkpoint, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": row.thread_id,
            "checkpoint_ns": row.namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def _chosen(
    config: RunnableConfig | None, metadata: dict[str, Any] | None, before: RunnableConfig | None
) -> QuerySet[models.Checkpoint]:
    chosen = models.Checkpoint.objects.all()
    if config:
        given = config["configurable"]
        chosen = rows.of_thread(str(given["thread_id"]), given.get("checkpoint_ns"))
        if checkpoint_id := get_checkpoint_id(config):
            chosen = chosen.filter(checkpoint_id=checkpoint_id)
    if metadata:
        chosen = chosen.filter(metadata__contains=metadata)
    if before:
        chosen = chosen.filter(checkpoint_id__lt=get_checkpoint_id(before))
    return chosen


def _following(pages: Iterator[Sequence[CheckpointTuple]]) -> Sequence[CheckpointTuple]:
    return next(pages, ())


def _line_to_value(
    row: models.Checkpoint, channel: str
) -> tuple[list[models.Checkpoint], models.Checkpoint | None]:
    """Return the checkpoints before one back to where a channel's value was stored, and that one."""
    line: list[models.Checkpoint] = []
    for page in rows.ancestors(row):
        if seed := rows.with_value(page, channel):
            return line + page[: page.index(seed) + 1], seed
        line += page
    return line, None


def _delete_for_runs(run_ids: Sequence[str]) -> None:
    for (thread_id, namespace), ids in rows.of_runs(run_ids).items():
        with transaction.atomic():
            threads.hold(thread_id)
            rows.delete(thread_id, namespace, ids)


def _prune(thread_ids: Sequence[str], strategy: str) -> None:
    if isinstance(thread_ids, str):
        raise TypeError("Give a sequence of thread ids, not a text.")
    ids = sorted({str(thread_id) for thread_id in thread_ids})
    match strategy:
        case "delete":
            threads.delete(ids)
        case "keep_latest":
            for thread_id in ids:
                pruning.keep_latest(thread_id)
        case _:
            raise ValueError(f"There is no strategy {strategy!r}; there are 'keep_latest' and 'delete'.")
