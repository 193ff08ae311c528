"""Questions whose time is running out, and what an edit changed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mandate import models, testing, tools
from mandate.services import approvals, dispatcher
from mandate.tools import topics

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def ask(declare, start_run):
    """Asks a question that is open for that long."""

    def make(lifetime=timedelta(days=3)):
        rule = tools.ApprovalRule(permission="auth.add_group", expires_after=lifetime)
        tool = declare(name="ask", approval=rule)
        testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
        return models.Approval.objects.get()

    return make


@pytest.fixture
def told():
    """What a project that declared the topic is told."""
    messages = []
    topics.topic(approvals.EXPIRING)(messages.append)
    yield messages
    topics.forget(approvals.EXPIRING)


@pytest.mark.parametrize(
    ("lifetime", "before"),
    [
        pytest.param(timedelta(days=3), 4 * HOUR, id="as the setting says"),
        pytest.param(2 * HOUR, HOUR, id="at half of a short time"),
    ],
)
def test_a_warning_comes_before_the_end_and_once(ask, lifetime, before):
    approval = ask(lifetime)
    moment = approval.expires_at - before

    warned = [approvals.warn(now=moment + late) for late in (-timedelta(seconds=1), timedelta(0), before / 2)]

    approval.refresh_from_db()
    assert warned == [0, 1, 0]
    assert (approval.warned_at, approval.status) == (moment, "pending")


def test_a_project_that_declared_the_topic_is_told(ask, told):
    approval = ask(HOUR)

    approvals.warn(now=approval.expires_at)
    dispatcher.deliver_due()

    (message,) = told
    assert message.payload["approval_id"] == str(approval.pk)
    assert message.payload["tool"] == "ask"
    assert str(approval.pk) in message.key


def test_a_warning_that_is_not_delivered_holds_up_nothing_of_the_run(ask, told):
    approvals.warn(now=ask(HOUR).expires_at)

    assert models.OutboxMessage.objects.get().run is None


def test_a_project_that_did_not_is_shown_it_in_the_queue_only(ask, client, user):
    approvals.warn(now=ask(HOUR).expires_at)
    client.force_login(user)

    (shown,) = client.get("/api/agents/approvals/").json()["results"]

    assert shown["warned_at"] is not None
    assert not models.OutboxMessage.objects.exists()


def test_what_is_decided_is_warned_of_no_more(ask, make_user):
    approval = ask(HOUR)
    testing.decide(approval.pk, by=make_user(is_superuser=True))

    assert approvals.warn(now=approval.expires_at) == 0


def test_who_keeps_house_warns_before_what_is_late_expires(ask):
    approval = ask(HOUR)

    dispatcher.keep_house(now=timezone.now() + timedelta(minutes=45))
    approval.refresh_from_db()

    assert (approval.status, approval.warned_at is not None) == ("pending", True)


def test_the_same_edit_again_changes_nothing_and_another_is_refused(ask, make_user, client, problem_of):
    approval, person = ask(), make_user(is_superuser=True)
    client.force_login(person)

    def edit(**arguments):
        body = {"decision": "edit", "arguments": arguments}
        path = f"/api/agents/approvals/{approval.pk}/decision/"
        return client.post(path, body, content_type="application/json")

    decided = [edit(name="blue"), edit(size=1, name="blue")]

    assert [response.status_code for response in decided] == [200, 200]
    assert problem_of(edit(name="green")) == (409, "already_decided")
    assert problem_of(edit(name=1)) == (409, "already_decided")


def test_what_a_person_changed_is_kept_and_shown(ask, make_user, client, admin_client):
    approval, person = ask(), make_user(is_superuser=True)
    testing.decide(approval.pk, "edit", arguments={"name": "blue", "size": 2}, by=person)
    client.force_login(person)

    shown = client.get(f"/api/agents/approvals/{approval.pk}/").json()
    page = admin_client.get(f"/admin/mandate/approval/{approval.pk}/change/").content.decode()

    assert shown["arguments"] == {"name": "red", "size": 1}
    assert shown["edited_arguments"] == {"name": "blue", "size": 2}
    assert [(change["pointer"], change["before"], change["after"]) for change in shown["changes"]] == [
        ("/name", "red", "blue"),
        ("/size", 1, 2),
    ]
    assert "/size: 1 → 2" in page
