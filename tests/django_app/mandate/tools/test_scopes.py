"""Which records a tool reaches."""

import pytest
from django.contrib.auth.models import Group
from pydantic import BaseModel

from mandate import exceptions, testing, tools
from mandate.tools import scopes
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode

pytestmark = pytest.mark.django_db


class Find(tools.Schema):
    name: str


class Found(BaseModel):
    name: str


def find(context: tools.Context, call: Find) -> Found:
    """Find a group."""
    return Found(name=context.visible(Group).get(name=call.name).name)


def find_task(context: tools.Context, call: Find) -> Found:
    """Find a task."""
    return Found(name=context.visible(Task).get(title=call.name).title)


def of_the_person(context):
    return Group.objects.filter(user=context.acting_for)


def of_the_agent(context):
    return Group.objects.filter(user=context.agent_user)


@pytest.fixture
def call(start_run):
    """Calls a tool, and returns the name that it found or the code that it was refused with."""

    def found(name, wanted, **groups):
        run = start_run(name)
        people = {"person": run.started_by, "agent": run.agent.user}
        for group, member in groups.items():
            people[member].groups.add(Group.objects.get_or_create(name=group)[0])
        try:
            return testing.call_tool(name, {"name": wanted}, run=run).result["name"]
        except exceptions.MandateError as error:
            return error.code

    return found


def test_an_id_is_looked_up_in_what_the_agent_may_see(declare, call):
    tool = declare(find)
    tools.records(Group)(of_the_person)

    assert call(tool, "red", red="person") == "red"
    assert call(tool, "blue", blue="agent") == ErrorCode.REJECTED


def test_a_tool_may_see_other_records_than_the_others(declare, call):
    tool = declare(find, records={Group: of_the_agent})
    tools.records(Group)(of_the_person)

    assert call(tool, "red", red="person") == ErrorCode.REJECTED
    assert call(tool, "blue", blue="agent") == "blue"


def test_of_what_agents_make_each_sees_its_own(declare, start_run):
    tool = declare(find_task)
    run = start_run(tool)
    module = Module.objects.create(slug="m", title="M", language="python", body="b")
    for title, owner in [("own", run.agent.user), ("theirs", run.started_by)]:
        Task.objects.create(module=module, title=title, text="a", ai_user=owner)

    assert testing.call_tool(tool, {"name": "own"}, run=run).result["name"] == "own"
    with pytest.raises(exceptions.ToolRejected):
        testing.call_tool(tool, {"name": "theirs"}, run=run)


def test_what_nobody_opened_is_closed(declare, call, caplog):
    assert call(declare(find), "red", red="person") == ErrorCode.TOOL_FAILED
    assert "NoScopeError" in caplog.text


def test_an_approved_call_sees_the_same_records(declare, start_run, make_user):
    rule = tools.ApprovalRule(permission="auth.add_group")
    tool = declare(find, records={Group: of_the_agent}, approval=rule)
    run, key = start_run(tool), testing.new_key()
    run.agent.user.groups.add(Group.objects.create(name="blue"))
    asked = testing.call_tool(tool, {"name": "blue"}, run=run, key=key)

    testing.decide(asked.approval.approval_id, by=make_user(is_superuser=True))

    assert testing.call_tool(tool, {"name": "blue"}, run=run, key=key).result["name"] == "blue"


def test_two_functions_do_not_open_one_model(declare):
    tools.records(Group)(of_the_person)

    with pytest.raises(scopes.DuplicateScopeError):
        tools.records(Group)(of_the_agent)
