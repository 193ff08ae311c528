from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mandate import models, threads
from mandate.services import dispatcher

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def keep():
    """Keep a thread with a checkpoint, a value and a write for each of some ages in days."""

    def kept(thread_id, *ages):
        for number, age in enumerate(ages):
            place = {"thread_id": thread_id, "namespace": ""}
            row = models.Checkpoint.objects.create(checkpoint_id=f"{number}", body={}, metadata={}, **place)
            models.Checkpoint.objects.filter(pk=row.pk).update(created_at=NOW - timedelta(days=age))
            models.CheckpointBlob.objects.create(channel="a", version=f"{number}", data=b"", **place)
            models.CheckpointWrite.objects.create(
                checkpoint_id=f"{number}", task_id="t", position=0, data=b"", **place
            )

    return kept


def left():
    return [set(table.objects.values_list("thread_id", flat=True)) for table in threads.TABLES]


def test_threads_that_rest_are_deleted_whole_and_no_others(keep):
    keep("resting", 40, 31)
    keep("at work", 40, 29)

    deleted = threads.delete_rested(before=NOW - timedelta(days=30))

    assert deleted == 1
    assert left() == [{"at work"}] * 3


def test_more_threads_than_one_batch_are_deleted(keep):
    for number in range(130):
        keep(f"{number}", 40)

    assert threads.delete_rested(before=NOW) == 130


def test_the_dispatcher_deletes_them_where_the_settings_say_after_how_long(keep, settings):
    keep("resting", 31)
    dispatcher.prune(now=NOW)
    before = left()[0]
    settings.MANDATE = settings.MANDATE | {"CHECKPOINT_RETENTION": timedelta(days=30)}

    dispatcher.prune(now=NOW)

    assert (before, left()[0]) == ({"resting"}, set())


def test_a_command_deletes_them_once(keep, capsys):
    keep("resting", 31)

    call_command("mandate_prune_checkpoints", "--days", "30")

    assert capsys.readouterr().out == "1 threads deleted\n"
    assert left()[0] == set()


@pytest.mark.parametrize("days", ["-1", "many", "1e99", "nan"])
def test_what_is_no_age_is_refused(days):
    with pytest.raises(CommandError):
        call_command("mandate_prune_checkpoints", f"--days={days}")
