"""Deletes what a thread no longer needs."""

from collections.abc import Sequence

from django.db import transaction

from mandate import models, threads
from mandate.checkpointing import rows

_DELTAS = "counters_since_delta_snapshot"
"""Where LangGraph's metadata names the channels whose value is a snapshot and the writes since."""


@transaction.atomic
def keep_latest(thread_id: str) -> None:
    """Keep the latest checkpoint of each namespace of a thread, and what its value is made of.

    A subgraph's call goes with the checkpoint it was made from. A run may add to the thread meanwhile; one that
    forks from a checkpoint which is being deleted finds its values gone.
    """
    threads.hold(thread_id)
    heads = list(rows.of_thread(thread_id).order_by("namespace", "-checkpoint_id").distinct("namespace"))
    over = {head.namespace for head in _calls_that_are_over(heads)}
    for head in heads:
        ids = rows.of_thread(thread_id, head.namespace).values_list("checkpoint_id", flat=True)
        if head.namespace in over:
            rows.delete(thread_id, head.namespace, list(ids))
        else:
            kept = {row.checkpoint_id for row in _parts(head)}
            # What is later than the head was made while we looked.
            earlier = set(ids.filter(checkpoint_id__lt=head.checkpoint_id)) - kept
            rows.delete(thread_id, head.namespace, earlier)


def _calls_that_are_over(heads: Sequence[models.Checkpoint]) -> list[models.Checkpoint]:
    """Return those of calls whose graph has gone on; a subgraph that keeps its state has no task in its name."""
    root = next((head.checkpoint_id for head in heads if head.namespace == ""), None)
    calls = {head: _caller(head) for head in heads if ":" in head.namespace}
    earlier = {caller for caller in calls.values() if caller and caller != root}
    if not earlier:
        return []
    saved = set(
        rows.of_thread(heads[0].thread_id, "")
        .filter(checkpoint_id__in=earlier)
        .values_list("checkpoint_id", flat=True)
    )
    return [head for head, caller in calls.items() if caller in saved]


def _caller(head: models.Checkpoint) -> str | None:
    """Return the graph's own checkpoint from which a subgraph was called."""
    caller: str | None = head.metadata.get("parents", {}).get("")
    return caller


def _parts(head: models.Checkpoint) -> list[models.Checkpoint]:
    """Return the earlier checkpoints that a channel's value is rebuilt from, back to its snapshot."""
    channels = head.metadata.get(_DELTAS, {})
    if not channels:
        return []
    missing = {channel for channel in channels if rows.with_value([head], channel) is None}
    parts: list[models.Checkpoint] = []
    for page in rows.ancestors(head) if missing else ():
        snapshots = {channel: rows.with_value(page, channel) for channel in missing}
        missing = {channel for channel in missing if snapshots[channel] is None}
        if not missing:
            return parts + page[: 1 + max(page.index(row) for row in snapshots.values() if row)]
        parts += page
    return parts
