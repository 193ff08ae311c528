import pytest

from mandate import checks, models, testing, tools
from mandate.tools import reviewing
from practice.models import Task


def ids(messages):
    return [message.id for message in messages]


def test_the_tools_of_the_project_pass():
    assert checks.check_tools() == []


def test_a_tool_without_a_scope_is_found(declare):
    declare(scope="")

    assert ids(checks.check_tools()) == ["mandate.E001"]


def test_drafts_that_nobody_could_publish_are_found():
    known = reviewing.declared()[Task]
    reviewing.forget(Task)
    try:
        tools.publishes(Task, permission="practice.fly")(known.publish)
        found = checks.check_reviews()
    finally:
        reviewing.forget(Task)
        tools.publishes(Task, permission=known.permission, preview=known.preview)(known.publish)

    assert ids(found) == ["mandate.E004"]
    assert checks.check_reviews() == []


@pytest.mark.parametrize("permission", ["auth.fly", "nothing", "practice.add_group"])
def test_a_permission_that_no_model_defines_is_found(declare, permission):
    declare(approval=tools.ApprovalRule(permission=permission))

    assert ids(checks.check_tools()) == ["mandate.E002"]


@pytest.mark.parametrize(
    ("backends", "found"),
    [
        pytest.param(["django.contrib.auth.backends.ModelBackend"], ["mandate.W002"], id="Django's own"),
        pytest.param(
            ["tests.django_app.mandate.record_permissions.RecordPermissions"], [], id="one that knows"
        ),
    ],
)
def test_a_permission_on_a_record_that_no_backend_knows_is_found(declare, settings, backends, found):
    settings.AUTHENTICATION_BACKENDS = backends
    rule = tools.ApprovalRule(permission="auth.add_group", record=lambda context, call: context.agent_user)
    declare(approval=rule)

    assert [message.id for message in checks.check_tools()] == found


def test_an_agent_with_a_tool_that_is_gone_is_found(add_tool, db):
    agent = testing.make_agent(add_tool)
    models.Agent.objects.filter(pk=agent.pk).update(tools=[add_tool, "gone"])

    messages = checks.check_agents(databases=["default"])

    assert ids(messages) == ["mandate.W001"]
    assert "'gone'" in messages[0].msg


def test_an_agent_that_nobody_could_start_is_found(agent):
    models.Agent.objects.update(start_permission="practice.fly")

    assert ids(checks.check_agents(databases=["default"])) == ["mandate.W003"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param("", [], id="none"),
        pytest.param("tests.django_app.mandate.waking.wake", [], id="a function"),
        pytest.param("tests.django_app.mandate.waking.CALLS", ["mandate.E003"], id="no function"),
        pytest.param("shop.tasks.deliver_soon", ["mandate.E003"], id="no module"),
    ],
)
def test_a_function_to_call_for_messages_that_is_not_there_is_found(settings, path, found):
    settings.MANDATE = settings.MANDATE | {"ON_MESSAGE": path}

    assert ids(checks.check_on_message()) == found
