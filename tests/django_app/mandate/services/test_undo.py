import pytest
from django.contrib.auth.models import Group, Permission
from pydantic import BaseModel

from mandate import exceptions, models, testing, tools
from mandate.services import approvals, undo
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision

pytestmark = pytest.mark.django_db


class Name(tools.Schema):
    name: str


class Made(BaseModel):
    group_id: int
    padding: str = ""


def make_group(_context: tools.Context, call: Name) -> Made:
    """Make a group."""
    return Made(group_id=Group.objects.create(name=call.name).pk, padding="x" * 10 * len(call.name))


def remove_group(context, call, answer):
    group = Group.objects.get(pk=answer.group_id, name=call.name)
    if group.user_set.exists():
        raise tools.ToolRejected("There are people in it.")
    group.delete()


@pytest.fixture
def person(make_user):
    person = make_user("olga")
    person.user_permissions.set(Permission.objects.filter(codename__in=["undo_toolcall", "add_group"]))
    return person


@pytest.fixture
def made(declare, start_run):
    """A call that made a group."""
    tool = declare(make_group, undo=remove_group)
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    return models.ToolCall.objects.get()


def refused(call, by):
    with pytest.raises(exceptions.MandateError) as caught:
        undo.undo(call.pk, by=by)
    return caught.value.code


def test_the_effect_goes_and_who_took_it_back_is_kept(made, person):
    done = undo.undo(made.pk, by=person, comment="Wrong colour.")

    assert not Group.objects.exists()
    assert (done.tool_call, done.undone_by, done.comment) == (made, person, "Wrong colour.")


def test_a_call_is_undone_once(made, person, make_user):
    first = undo.undo(made.pk, by=person)
    Group.objects.create(pk=made.response["result"]["group_id"], name="red")

    second = undo.undo(made.pk, by=make_user(is_superuser=True))

    assert Group.objects.exists()
    assert (second.undone_by, second.undone_at) == (first.undone_by, first.undone_at)


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_undoes(made, person, at_once):
    done = at_once(*[lambda: undo.undo(made.pk, by=person)] * 5)

    assert len({one.undone_at for one in done}) == 1
    assert models.ToolCallUndo.objects.count() == 1


def test_without_the_permission_nothing_is_undone(made, user):
    assert refused(made, user) == ErrorCode.FORBIDDEN
    assert Group.objects.exists()


def test_an_agent_undoes_nothing(made):
    made.agent_user.user_permissions.set(Permission.objects.filter(codename="undo_toolcall"))

    assert refused(made, made.agent_user) == ErrorCode.FORBIDDEN


def test_a_business_rule_may_refuse(made, person):
    person.groups.add(Group.objects.get())

    assert refused(made, person) == ErrorCode.REJECTED
    assert not models.ToolCallUndo.objects.exists()


def test_a_tool_that_does_not_say_how_is_not_undone(start_run, add_tool, person):
    testing.call_tool(add_tool, {"name": "red"}, run=start_run(add_tool))

    assert refused(models.ToolCall.objects.get(), person) == ErrorCode.NOT_UNDOABLE


def test_a_repeat_has_no_effect_of_its_own_to_undo(made, person):
    testing.call_tool(made.tool, {"name": "red"}, run=made.run)
    repeat = models.ToolCall.objects.get(repeat_of=made)

    assert refused(repeat, person) == ErrorCode.NOT_UNDOABLE


def test_an_edited_call_is_undone_as_it_was_done(declare, start_run, person):
    rule = tools.ApprovalRule(permission="auth.add_group")
    tool = declare(make_group, undo=remove_group, approval=rule)
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    approval = models.Approval.objects.get()
    approvals.decide(approval.pk, Decision(decision="edit", arguments={"name": "blue"}), by=person)

    undo.undo(approval.tool_call_id, by=person)

    assert not Group.objects.exists()


def test_who_may_not_approve_a_tool_may_not_undo_it(declare, start_run, person, make_user):
    rule = tools.ApprovalRule(permission="auth.add_group")
    tool = declare(make_group, undo=remove_group, approval=rule)
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    approval = models.Approval.objects.get()
    approvals.decide(approval.pk, Decision(decision="approve"), by=person)
    other = make_user()
    other.user_permissions.set(Permission.objects.filter(codename="undo_toolcall"))

    assert refused(approval.tool_call, other) == ErrorCode.FORBIDDEN


def test_a_result_too_large_for_its_answer_is_given_whole_to_what_undoes_it(
    declare, start_run, person, settings
):
    settings.MANDATE = settings.MANDATE | {"RESULT_BYTES": 100, "READ_RESULT_BYTES": 50}
    tool = declare(make_group, undo=remove_group)
    answer = testing.call_tool(tool, {"name": "a long name"}, run=start_run(tool))

    assert answer.truncated
    undo.undo(models.ToolCall.objects.get().pk, by=person)

    assert not Group.objects.exists()


def test_a_tool_that_only_reads_declares_no_undoing(declare):
    with pytest.raises(TypeError, match="nothing to undo"):
        declare(make_group, effect=tools.Effect.READ, undo=remove_group)
