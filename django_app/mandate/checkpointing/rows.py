"""The rows of checkpoints: written in bulk, read together, deleted with what nobody needs any more."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from django.db.models.fields.json import KT

from mandate import models, threads

EMPTY = "empty"
"""The type of a value that is not there."""

_BATCH = 1000
PAGE = 100
"""How many checkpoints are read at once."""

BlobKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A checkpoint with all that belongs to it."""

    row: models.Checkpoint
    blobs: Mapping[str, models.CheckpointBlob]
    """By channel; those that hold nothing are left out."""

    writes: Sequence[models.CheckpointWrite]
    """In the order in which LangGraph applies them."""


@contextmanager
def connected() -> Iterator[None]:
    """Close the thread's connection at the end if it was opened meanwhile.

    LangGraph's synchronous runs write from threads of a pool that ends with the run, and no request's end
    closes the connections of those.
    """
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open:
            connection.close()


@transaction.atomic
def keep(checkpoint: models.Checkpoint, blobs: Iterable[models.CheckpointBlob]) -> None:
    """Store a checkpoint and the values that are new with it; the same again changes nothing."""
    models.CheckpointBlob.objects.bulk_create(blobs, ignore_conflicts=True)
    models.Checkpoint.objects.bulk_create(
        [checkpoint],
        update_conflicts=True,
        unique_fields=["thread_id", "namespace", "checkpoint_id"],
        update_fields=["body", "metadata"],
    )


def keep_writes(writes: Iterable[models.CheckpointWrite]) -> None:
    """Store what a task wrote. What it has written before stays, but its error or interrupt is the latest."""
    latest = {write.pk: write for write in writes}.values()
    models.CheckpointWrite.objects.bulk_create(
        (write for write in latest if write.position >= 0), ignore_conflicts=True
    )
    models.CheckpointWrite.objects.bulk_create(
        (write for write in latest if write.position < 0),
        update_conflicts=True,
        unique_fields=["thread_id", "namespace", "checkpoint_id", "task_id", "position"],
        update_fields=["task_path", "channel", "type", "data"],
    )


def whole(rows: Sequence[models.Checkpoint]) -> list[Whole]:
    """Read what belongs to checkpoints; one that was deleted meanwhile is left out."""
    keys = {row.pk: blob_keys(row) for row in rows}
    stored = models.CheckpointBlob.objects.filter(pk__in=list({key for one in keys.values() for key in one}))
    blobs = {blob.pk: blob for blob in stored.exclude(type=EMPTY)}
    writes = writes_of(rows)
    # Looked up last: while a checkpoint is there, so is everything that was just read of it.
    left = set(models.Checkpoint.objects.filter(pk__in=keys).values_list("pk", flat=True))
    return [
        Whole(
            row=row,
            blobs={key[2]: blobs[key] for key in keys[row.pk] if key in blobs},
            writes=writes[row.thread_id, row.namespace, row.checkpoint_id],
        )
        for row in rows
        if row.pk in left
    ]


def blob_keys(row: models.Checkpoint) -> list[BlobKey]:
    """Return the keys of a checkpoint's values."""
    versions = row.body["channel_versions"].items()
    return [(row.thread_id, row.namespace, channel, str(version)) for channel, version in versions]


def writes_of(
    rows: Iterable[models.Checkpoint],
) -> Mapping[tuple[str, str, str], list[models.CheckpointWrite]]:
    """Return what tasks wrote after checkpoints, by their keys and in LangGraph's order."""
    groups = _grouped((row.thread_id, row.namespace, row.checkpoint_id) for row in rows)
    if not groups:
        return {}
    chosen = reduce(
        or_,
        (
            Q(thread_id=thread_id, namespace=namespace, checkpoint_id__in=ids)
            for (thread_id, namespace), ids in groups.items()
        ),
    )
    found = defaultdict(list)
    # Sorted here and not by the database: LangGraph compares as Python does.
    for write in sorted(models.CheckpointWrite.objects.filter(chosen), key=_order):
        found[write.thread_id, write.namespace, write.checkpoint_id].append(write)
    return found


def ancestors(row: models.Checkpoint) -> Iterator[list[models.Checkpoint]]:
    """Yield the checkpoints that led to one, the nearest first, a page at a time."""
    parent, last = row.parent_id, row.checkpoint_id
    earlier = of_thread(row.thread_id, row.namespace)
    while parent and (page := list(earlier.filter(checkpoint_id__lt=last)[:PAGE])):
        line = []
        for one in page:
            if one.checkpoint_id == parent:
                line.append(one)
                parent = one.parent_id
        last = page[-1].checkpoint_id
        yield line


def with_value(rows: Iterable[models.Checkpoint], channel: str) -> models.Checkpoint | None:
    """Return the first of these checkpoints at which a channel's value was stored."""
    keys: dict[BlobKey, models.Checkpoint] = {}
    for row in rows:
        for key in blob_keys(row):
            if key[2] == channel:
                keys.setdefault(key, row)
    stored = models.CheckpointBlob.objects.filter(pk__in=list(keys)).exclude(type=EMPTY)
    present = set(stored.values_list("pk", flat=True))
    return next((row for key, row in keys.items() if key in present), None)


def value(row: models.Checkpoint, channel: str) -> models.CheckpointBlob | None:
    """Return a channel's value at a checkpoint."""
    keys = [key for key in blob_keys(row) if key[2] == channel]
    return models.CheckpointBlob.objects.filter(pk__in=keys).first()


def are_there(rows: Collection[models.Checkpoint]) -> bool:
    """Tell whether none of these checkpoints was deleted."""
    return models.Checkpoint.objects.filter(pk__in=[row.pk for row in rows]).count() == len(rows)


def of_thread(thread_id: str, namespace: str | None = None) -> QuerySet[models.Checkpoint]:
    """Return a thread's checkpoints, the latest first."""
    rows = models.Checkpoint.objects.filter(thread_id=thread_id)
    return rows if namespace is None else rows.filter(namespace=namespace)


def of_runs(run_ids: Collection[str]) -> dict[tuple[str, str], list[str]]:
    """Return ids of the checkpoints that runs made, by thread and namespace."""
    rows = models.Checkpoint.objects.alias(run_id=KT("metadata__run_id")).filter(run_id__in=run_ids)
    return _grouped(rows.values_list("thread_id", "namespace", "checkpoint_id"))


def delete(thread_id: str, namespace: str, checkpoint_ids: Collection[str]) -> None:
    """Delete checkpoints of a thread that is held, with their writes and the values that no other one has."""
    rows = of_thread(thread_id, namespace)
    going = list(rows.filter(checkpoint_id__in=checkpoint_ids))
    if not going:
        return
    ids = [row.checkpoint_id for row in going]
    models.CheckpointWrite.objects.filter(
        thread_id=thread_id, namespace=namespace, checkpoint_id__in=ids
    ).delete()
    rows.filter(pk__in=[row.pk for row in going]).delete()
    rows.filter(parent_id__in=ids).update(parent_id=None)
    needed = {key for row in rows.iterator() for key in blob_keys(row)}
    unneeded = list({key for row in going for key in blob_keys(row)} - needed)
    for start in range(0, len(unneeded), _BATCH):
        models.CheckpointBlob.objects.filter(pk__in=unneeded[start : start + _BATCH]).delete()


@transaction.atomic
def copy(source: str, target: str) -> None:
    """Copy all of a thread to one that has nothing yet.

    Raises:
        ValueError: the other thread has checkpoints.
    """
    for thread_id in sorted({source, target}):
        threads.hold(thread_id)
    if of_thread(target).exists():
        raise ValueError(f"The thread {target!r} has checkpoints of its own; copy to a new one.")
    for table in threads.TABLES:
        _copy_rows(table, source, target)


def _copy_rows(table: type[Model], source: str, target: str) -> None:
    meta, quote = table._meta, connection.ops.quote_name  # noqa: SLF001 - Django's documented API
    columns = {field.column for field in meta.concrete_fields if field.column} - {"id", "thread_id"}
    rest = ", ".join(quote(column) for column in sorted(columns))
    name = quote(meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} (thread_id, {rest}) SELECT %s, {rest} FROM {name} WHERE thread_id = %s",  # noqa: S608 - names of ours
            [target, source],
        )


def _order(write: models.CheckpointWrite) -> tuple[str, str, int]:
    """Return what `langgraph.checkpoint.base.writes_sort_key` does."""
    return write.task_path, write.task_id, write.position


def _grouped(keys: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for thread_id, namespace, checkpoint_id in keys:
        groups[thread_id, namespace].append(checkpoint_id)
    return groups
