"""Whether anything of a run's story has changed."""

import uuid

import pytest
from django.utils import timezone

from mandate import models, testing
from mandate.selectors import audit, versions
from mandate.selectors import runs as selectors
from mandate.services import outbox, runs

# What changes in one transaction is one change.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worked(start_run, approved_tool, user):
    """A run with something of everything."""
    run = start_run(approved_tool)
    testing.call_tool(approved_tool, {"name": "red"}, run=run)
    call = models.ToolCall.objects.get()
    models.WebhookReceipt.objects.create(webhook_id="one", type="run", run=run, body={})
    models.ModelUsage.objects.create(run=run, segment=1, model="m", calls=1, input_tokens=1, output_tokens=1)
    outbox.write(runs.SUBMIT, key="own", payload={}, run=run)
    models.OutboxMessage.objects.create(topic="t", key="of the call", tool_call=call)
    models.RunNote.objects.create(run=run, kind="resumed", by=user)
    return run


CHANGES = {
    "the run": lambda run: models.Run.objects.filter(pk=run.pk).update(updated_at=timezone.now()),
    "a note": lambda run: models.RunNote.objects.create(run=run, kind="cancelled"),
    "a worker's hold": lambda run: run.sessions.update(revoked_at=timezone.now()),
    "a new worker": lambda run: run.sessions.create(epoch=9, token_hash="x", expires_at=timezone.now()),
    "a replay": lambda run: run.tool_calls.update(replay_count=1),
    "a decision": lambda run: run.approvals.update(comment="Mine."),
    "a message of the run": lambda run: run.outbox_messages.update(attempts=3),
    "a message of a call": lambda run: models.OutboxMessage.objects.filter(key="of the call").delete(),
    "a webhook": lambda run: run.webhook_receipts.create(webhook_id="two", type="run", body={}),
    "usage": lambda run: run.usage.update(calls=2),
    "an undo": lambda run: models.ToolCallUndo.objects.create(
        tool_call=run.tool_calls.get(), undone_by=run.started_by
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_makes_another_version(worked, user, name):
    before = versions.of(worked.pk, reader=user)

    CHANGES[name](worked)

    assert versions.of(worked.pk, reader=user) != before


def test_without_a_change_the_version_stays(worked, start_run, add_tool, user):
    before = versions.of(worked.pk, reader=user)

    testing.call_tool(add_tool, {"name": "blue"}, run=start_run(add_tool))

    assert versions.of(worked.pk, reader=user) == before


def test_each_reader_has_versions_of_their_own(worked, user, make_user):
    boss, stranger = make_user(is_superuser=True, is_staff=True), make_user()

    own, of_boss = (versions.of(worked.pk, reader=reader) for reader in (user, boss))

    assert own != of_boss
    assert versions.of(worked.pk, reader=stranger) is None
    assert versions.of(uuid.uuid4(), reader=boss) is None


def test_a_story_takes_as_many_queries_however_long_it_is(
    worked, start_run, approved_tool, django_assert_num_queries
):
    again = selectors.find(worked.pk, user=worked.started_by, read=audit.detailed)
    short = audit.story(again)
    for number in range(5):
        testing.call_tool(approved_tool, {"name": str(number)}, run=worked)

    with django_assert_num_queries(10):
        long = audit.story(selectors.find(worked.pk, user=worked.started_by, read=audit.detailed))

    assert len(long.entries) > len(short.entries) + 5
