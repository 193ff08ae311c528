"""How many questions wait for somebody."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from mandate import models
from mandate.selectors import approvals
from shared_schemas.tools import ToolCallStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(agent, user, start):
    """Makes open questions, about a record where one is given."""

    def make(count=1, *, record=None, **fields):
        run = start()
        calls = models.ToolCall.objects.bulk_create(
            models.ToolCall(
                run=run,
                key=str(number),
                tool="publish",
                arguments={},
                status=ToolCallStatus.PENDING_APPROVAL,
                agent_user=agent.user,
                acting_for=user,
                epoch=1,
            )
            for number in range(count)
        )
        given = {"permission": "auth.change_group", "message": "May I?", "arguments": {}}
        if record:
            given |= {"content_type": ContentType.objects.get_for_model(record), "object_id": record.pk}
        models.Approval.objects.bulk_create(
            models.Approval(
                run=run, tool_call=call, expires_at=timezone.now() + timedelta(days=1), **given | fields
            )
            for call in calls
        )

    return make


@pytest.fixture
def decider(make_user):
    person = make_user("bert")
    person.user_permissions.add(Permission.objects.get(codename="change_group"))
    return person


def test_those_wait_that_a_person_may_decide(ask, decider, user):
    ask(2)
    ask(permission="auth.delete_group")

    waiting = [approvals.waiting_for(person).count for person in (decider, user)]

    assert waiting == [2, 0]


def test_what_is_decided_does_not_wait(ask, decider):
    ask()
    models.Approval.objects.update(status="expired", decided_at=timezone.now())

    assert approvals.waiting_for(decider) == approvals.Waiting(count=0, is_all=True)


@pytest.mark.parametrize("is_superuser", [False, True])
def test_what_needs_somebody_else_does_not_wait_for_its_person(ask, decider, user, is_superuser):
    user.user_permissions.set(decider.user_permissions.all())
    user.is_superuser = is_superuser
    ask(four_eyes=True)

    assert (approvals.waiting_for(user).count, approvals.waiting_for(decider).count) == (0, 1)


def test_more_than_are_looked_at_are_told_as_more(ask, decider, make_user):
    ask(approvals.MOST_LOOKED_AT + 1)

    told = {approvals.waiting_for(person) for person in (decider, make_user(is_superuser=True))}

    assert told == {approvals.Waiting(count=approvals.MOST_LOOKED_AT, is_all=False)}


def test_questions_about_records_are_asked_of_the_backends(ask, make_user, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.django_app.mandate.record_permissions.RecordPermissions"]
    red, blue = (Group.objects.create(name=name) for name in ("red", "blue"))
    member = make_user("bert")
    member.groups.add(red)
    ask(2, record=red)
    ask(record=blue)

    assert approvals.waiting_for(member) == approvals.Waiting(count=2, is_all=True)


@pytest.mark.parametrize("count", [1, 20, approvals.MOST_LOOKED_AT + 1])
def test_they_are_counted_in_one_query_however_many_there_are(ask, decider, count, django_assert_num_queries):
    ask(count)
    decider.get_all_permissions()

    with django_assert_num_queries(1):
        approvals.waiting_for(decider)


def test_records_are_read_together(ask, make_user, settings, django_assert_num_queries):
    settings.AUTHENTICATION_BACKENDS = ["tests.django_app.mandate.record_permissions.RecordPermissions"]
    stranger, looked_at = make_user("bert"), 3
    for number in range(looked_at):
        ask(record=Group.objects.create(name=str(number)))

    with django_assert_num_queries(2 + looked_at):
        assert approvals.waiting_for(stranger).count == 0
