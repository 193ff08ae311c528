"""Who may decide about a call."""

import pytest
from django.contrib.auth.models import Group, Permission
from pydantic import BaseModel

from mandate import exceptions, models, testing, tools
from shared_schemas.problems import ErrorCode

pytestmark = pytest.mark.django_db

BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "tests.django_app.mandate.record_permissions.RecordPermissions",
]


class Renamed(BaseModel):
    name: str


class Rename(tools.Schema):
    group: str
    name: str


def rename(context: tools.Context, call: Rename) -> Renamed:
    """Rename a group."""
    Group.objects.filter(name=call.group).update(name=call.name)
    return Renamed(name=call.name)


def group_of(context, call):
    return Group.objects.get(name=call.group)


@pytest.fixture
def groups():
    return {name: Group.objects.create(name=name) for name in ("red", "blue")}


@pytest.fixture
def approval(declare, start_run, settings, groups):
    """A question about renaming the group `red`."""
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    rule = tools.ApprovalRule(permission="auth.change_group", record=group_of)
    tool = declare(rename, approval=rule)
    testing.call_tool(tool, {"group": "red", "name": "crimson"}, run=start_run(tool))
    return models.Approval.objects.get()


@pytest.fixture
def member(make_user, groups):
    """A person who may decide about the group `red`."""
    person = make_user("bert")
    person.groups.add(groups["red"])
    return person


@pytest.fixture
def refusal():
    def refused(*args, **options):
        with pytest.raises(exceptions.MandateError) as caught:
            testing.decide(*args, **options)
        return caught.value.code

    return refused


def names():
    return sorted(Group.objects.values_list("name", flat=True))


def test_who_holds_the_permission_for_the_record_decides(approval, member):
    testing.decide(approval.pk, by=member)

    assert names() == ["blue", "crimson"]


def test_who_holds_it_for_another_record_does_not_even_see_the_question(approval, make_user, groups, refusal):
    stranger = make_user()
    stranger.groups.add(groups["blue"])

    assert refusal(approval.pk, by=stranger) == ErrorCode.NOT_FOUND
    assert names() == ["blue", "red"]


def test_who_holds_it_in_general_does_not_hold_it_for_the_record(approval, make_user, refusal):
    person = make_user()
    person.user_permissions.add(Permission.objects.get(codename="change_group"))

    assert refusal(approval.pk, by=person) == ErrorCode.NOT_FOUND


def test_an_edit_may_not_lead_to_a_record_of_others(approval, member, refusal):
    arguments = {"group": "blue", "name": "navy"}

    assert refusal(approval.pk, "edit", arguments=arguments, by=member) == ErrorCode.FORBIDDEN
    approval.refresh_from_db()
    assert (approval.status, names()) == ("pending", ["blue", "red"])


def test_the_permission_for_the_record_is_asked_for_again_when_the_call_is_done(
    declare, start_run, settings, groups, member, refusal
):
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    rule = tools.ApprovalRule(permission="auth.change_group", record=group_of)

    def take_it_away(context, _call):
        if context.approved_by is not None:
            member.groups.clear()

    def work(context: tools.Context, call: Rename, _: None) -> Renamed:
        """Rename a group, slowly."""
        return rename(context, call)

    tool = declare(work, approval=rule, prepare=take_it_away)
    testing.call_tool(tool, {"group": "red", "name": "crimson"}, run=start_run(tool))

    assert refusal(models.Approval.objects.get().pk, by=member) == ErrorCode.FORBIDDEN
    assert names() == ["blue", "red"]


def test_a_question_about_a_record_that_is_not_there_is_not_asked(declare, start_run):
    rule = tools.ApprovalRule(permission="auth.change_group", record=group_of)
    tool = declare(rename, approval=rule)

    with pytest.raises(exceptions.ToolRejected):
        testing.call_tool(tool, {"group": "none", "name": "a"}, run=start_run(tool))

    assert not models.ToolCall.objects.exists()


def test_a_record_that_is_gone_leaves_only_who_may_in_general(approval, make_user, groups, member, refusal):
    groups["red"].delete()
    general = make_user()
    general.user_permissions.add(Permission.objects.get(codename="change_group"))

    assert refusal(approval.pk, "reject", by=member) == ErrorCode.NOT_FOUND
    assert testing.decide(approval.pk, "reject", by=general).status == "rejected"


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_four_eyes_see_what_two_asked_for(declare, start_run, make_user, user, refusal, decision):
    rule = tools.ApprovalRule(permission="auth.add_group", four_eyes=True)
    tool = declare(approval=rule)
    user.is_superuser = True
    user.save()
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    approval = models.Approval.objects.get()

    assert refusal(approval.pk, decision, by=user) == ErrorCode.FORBIDDEN
    assert testing.decide(approval.pk, decision, by=make_user(is_superuser=True)).decided_by is not None


def test_without_four_eyes_who_asked_may_decide(declare, start_run, user):
    tool = declare(approval=tools.ApprovalRule(permission="auth.add_group"))
    user.user_permissions.add(Permission.objects.get(codename="add_group"))
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))

    testing.decide(models.Approval.objects.get().pk, by=user)

    assert names() == ["red"]


def test_the_queue_says_who_may_decide(approval, client, user, member):
    shown = {}
    for person in (user, member):
        client.force_login(person, backend=BACKENDS[0])
        (question,) = client.get("/api/agents/approvals/").json()["results"]
        shown[person.username] = question["may_decide"]

    assert shown == {"anna": False, "bert": True}
    assert (question["permission"], question["record"]) == ("auth.change_group", "red")
