"""Checkpoints of LangGraph graphs that run inside Django.

A saver may write what a task did before the checkpoint it belongs to, and several checkpoints share a value:
so no row refers to another by a foreign key.
"""

from django.db import models
from django.db.models.fields.json import KT


class Checkpoint(models.Model):
    """A thread's state after one superstep, without the channels' values."""

    thread_id = models.TextField(db_collation="C")
    namespace = models.TextField(db_collation="C", blank=True)
    """Empty for the graph itself; a subgraph's path otherwise."""

    checkpoint_id = models.TextField(db_collation="C")
    """Grows with time: compared byte by byte, as LangGraph does."""

    parent_id = models.TextField(null=True)  # noqa: DJ001 - the first of a thread has none
    body = models.JSONField()
    """LangGraph's `Checkpoint` without its values: ids, and the version of each channel."""

    metadata = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-checkpoint_id", "-id")
        indexes = [
            models.Index(KT("metadata__run_id"), name="mandate_checkpoint_run"),
            models.Index(fields=("created_at",), name="mandate_checkpoint_age"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="mandate_checkpoint_once", fields=("thread_id", "namespace", "checkpoint_id")
            )
        ]

    def __str__(self) -> str:
        return f"{self.thread_id} {self.namespace} {self.checkpoint_id}"


class CheckpointBlob(models.Model):
    """One version of a channel's value; the checkpoints between two changes share it."""

    pk = models.CompositePrimaryKey("thread_id", "namespace", "channel", "version")
    thread_id = models.TextField(db_collation="C")
    namespace = models.TextField(db_collation="C")
    channel = models.TextField(db_collation="C")
    version = models.TextField(db_collation="C")
    type = models.TextField()
    """The serializer's; `empty` where the channel holds nothing in this version."""

    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.thread_id} {self.channel} {self.version}"


class CheckpointWrite(models.Model):
    """What a task wrote after a checkpoint; the next checkpoint takes it in."""

    pk = models.CompositePrimaryKey("thread_id", "namespace", "checkpoint_id", "task_id", "position")
    thread_id = models.TextField(db_collation="C")
    namespace = models.TextField(db_collation="C")
    checkpoint_id = models.TextField(db_collation="C")
    task_id = models.TextField(db_collation="C")
    position = models.IntegerField()
    """In the task's writes; negative for errors, interrupts and the like, of which there is one each."""

    task_path = models.TextField()
    channel = models.TextField()
    type = models.TextField()
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.thread_id} {self.task_id} {self.channel}"
