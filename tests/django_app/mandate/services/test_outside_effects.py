"""Effects outside the database: never without their call, at least once with it, always with the same key."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pydantic import BaseModel

from mandate import exceptions, fakes, models, testing, tools
from mandate.services import approvals, deliveries, dispatcher, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision

pytestmark = pytest.mark.django_db

Status = models.OutboxMessage.Status


class Mail(tools.Schema):
    to: str = "sam"


class Sent(BaseModel):
    to: str


def send_mail(context: tools.Context, call: Mail) -> Sent:
    """Send a mail."""
    context.outbox("test.letters", {"to": call.to})
    if call.to == "nobody":
        raise tools.ToolRejected("Nobody has no address.")
    return Sent(to=call.to)


@pytest.fixture
def letters():
    """What the system outside was given, as pairs of key and payload; while `away` it takes nothing."""

    class Office(list):
        away = False

    office = Office()

    @tools.topic("test.letters")
    def deliver(message):
        if office.away:
            raise tools.NotDelivered("The office is closed.", permanent=True)
        office.append((message.key, message.payload))

    return office


@pytest.fixture
def mail_tool(declare, letters):
    return declare(send_mail)


def test_a_committed_call_is_delivered_with_a_key_made_of_its_own(start_run, mail_tool, letters):
    run, key = start_run(mail_tool), testing.new_key()
    testing.call_tool(mail_tool, {}, run=run, key=key)

    dispatcher.deliver_due()

    assert letters == [(f"{run.pk}:{key}:1", {"to": "sam"})]


def test_a_replayed_call_sends_nothing_again(start_run, mail_tool, letters):
    run, key = start_run(mail_tool), testing.new_key()

    for _ in range(3):
        testing.call_tool(mail_tool, {}, run=run, key=key)

    assert models.OutboxMessage.objects.count() == 1


def test_a_call_that_is_rejected_sends_nothing(start_run, mail_tool):
    with pytest.raises(tools.ToolRejected):
        testing.call_tool(mail_tool, {"to": "nobody"}, run=start_run(mail_tool))

    assert not models.OutboxMessage.objects.exists()


def test_a_call_that_waits_for_a_person_sends_when_it_is_approved(start_run, declare, letters, make_user):
    tool = declare(send_mail, approval=tools.ApprovalRule(permission="auth.add_group"))
    testing.call_tool(tool, {}, run=start_run(tool))
    before = models.OutboxMessage.objects.count()
    approval = models.Approval.objects.get()

    approvals.decide(approval.pk, Decision(decision="approve"), by=make_user(is_superuser=True))

    message = models.OutboxMessage.objects.get(topic="test.letters")
    assert (before, message.tool_call) == (0, approval.tool_call)


@pytest.mark.parametrize(
    ("effect", "topic"),
    [
        pytest.param(tools.Effect.READ, "test.letters", id="a tool that reads"),
        pytest.param(tools.Effect.WRITE, "test.unheard_of", id="a topic that nobody delivers"),
    ],
)
def test_what_could_never_be_delivered_fails_the_call(start_run, declare, letters, effect, topic):
    def send(context: tools.Context, _call: Mail) -> Sent:
        """Send."""
        context.outbox(topic, {})
        return Sent(to="")

    tool = declare(send, effect=effect)

    with pytest.raises(exceptions.RequestRefused) as refused:
        testing.call_tool(tool, {}, run=start_run(tool))

    assert refused.value.code == ErrorCode.TOOL_FAILED


def test_what_is_not_taken_outside_does_not_hold_up_its_run(start_run, mail_tool, letters, agent_service):
    run = start_run(mail_tool)
    testing.call_tool(mail_tool, {}, run=run)
    models.OutboxMessage.objects.update(next_attempt_at=timezone.now() + timezone.timedelta(hours=1))

    runs.cancel(run.pk)
    dispatcher.deliver_due()

    delivered = models.OutboxMessage.objects.filter(status=Status.DELIVERED)
    assert [message.topic for message in delivered] == [runs.CANCEL]


def test_a_dead_message_is_delivered_again_by_hand_and_it_is_known_by_whom(
    start_run, mail_tool, letters, user
):
    run = start_run(mail_tool)
    testing.call_tool(mail_tool, {}, run=run)
    letters.away = True
    dispatcher.deliver_due()
    message = models.OutboxMessage.objects.get()
    letters.away = False

    deliveries.again(message.pk, by=user)
    dispatcher.deliver_due()

    note = run.notes.get(kind=models.RunNote.Kind.REDELIVERED)
    assert message.status == Status.DEAD
    assert [key for key, _ in letters] == [message.key]
    assert (note.by, note.data["was"]) == (user, "dead")


DISPATCHER = """
import os, signal, sys

import django

django.setup()

from mandate import tools
from mandate.services import dispatcher

office, dies = sys.argv[1], sys.argv[2] == "dies"


@tools.topic("test.letters")
def deliver(message):
    with open(office, "a") as letters:
        letters.write(message.key + "\\n")
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)


dispatcher.deliver_due()
"""


@pytest.fixture
def dispatch_in_a_process(transactional_db, tmp_path):
    """Deliver what is due in a process of its own, and return how it ended and the keys delivered so far."""
    office = tmp_path / "office"
    database = connection.settings_dict
    address = os.environ["DATABASE_URL"].replace("/mandate", f"/{database['NAME']}", 1)

    def run(*, dies):
        done = subprocess.run(
            [sys.executable, "-c", DISPATCHER, str(office), "dies" if dies else "lives"],
            cwd=Path(fakes.__file__).parents[1],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings_test", "DATABASE_URL": address},
            check=False,
            timeout=60,
        )
        return done.returncode, office.read_text().splitlines()

    return run


def test_a_dispatcher_that_dies_after_the_effect_repeats_it_with_the_same_key(
    start_run, mail_tool, dispatch_in_a_process
):
    run, key = start_run(mail_tool), testing.new_key()
    testing.call_tool(mail_tool, {}, run=run, key=key)

    killed, _ = dispatch_in_a_process(dies=True)
    _wait_for_messages()
    lived, letters = dispatch_in_a_process(dies=False)
    dispatch_in_a_process(dies=False)

    message = models.OutboxMessage.objects.get()
    assert (killed, lived) == (-signal.SIGKILL, 0)
    assert letters == [f"{run.pk}:{key}:1"] * 2
    assert (message.status, message.attempts) == (Status.DELIVERED, 1)


def _wait_for_messages():
    """Wait until nobody holds one: PostgreSQL needs a moment to see that a process is gone."""
    with transaction.atomic():
        list(models.OutboxMessage.objects.select_for_update())
