"""Threads of graphs that run inside Django: held while one is copied or deleted, and deleted.

Apart from the checkpointer, which needs LangGraph: whoever looks after the database does not.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from mandate import models

TABLES: tuple[type[Model], ...] = (models.Checkpoint, models.CheckpointBlob, models.CheckpointWrite)

_BATCH = 100


def hold(thread_id: str) -> None:
    """Keep others who delete or copy a thread out of it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('mandate.checkpoints'), hashtext(%s))", [thread_id]
        )


@transaction.atomic
def delete(thread_ids: Collection[str]) -> None:
    """Delete everything of threads."""
    for thread_id in sorted(thread_ids):
        hold(thread_id)
    for table in TABLES:
        table._default_manager.filter(thread_id__in=thread_ids).delete()  # noqa: SLF001 - Django's public name


def delete_rested(*, before: datetime) -> int:
    """Delete the threads that have no checkpoint since `before`, and return how many they were.

    One that is taken up again in that very moment finds its values gone.
    """
    deleted = 0
    while rested := list(_rested(before)[:_BATCH]):
        delete(rested)
        deleted += len(rested)
    return deleted


def _rested(before: datetime) -> QuerySet[models.Checkpoint, str]:
    later = models.Checkpoint.objects.filter(thread_id=OuterRef("thread_id"), created_at__gte=before)
    old = models.Checkpoint.objects.filter(~Exists(later), created_at__lt=before)
    return old.order_by("thread_id").values_list("thread_id", flat=True).distinct()
