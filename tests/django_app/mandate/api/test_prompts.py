import pytest

from mandate import models, testing
from mandate.services import drafts
from practice.models import Module, Task

pytestmark = pytest.mark.django_db

VERSIONS = "/api/agents/prompt-versions/"


@pytest.fixture
def module():
    return Module.objects.create(slug="m", title="M", language="python", body="b", published=True)


@pytest.fixture
def drafted(module, user):
    """Let a run with some version of the prompts draft tasks, and people decide about them."""
    agent = testing.make_agent("add_tasks")

    def draft(version, *decisions):
        run = testing.start_run(agent, by=user, prompt_version=version)
        texts = [{"title": f"Task {name}", "text": "Write a function that adds."} for name in decisions]
        added = testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": texts}, run=run)
        for task, decision in zip(added.result["tasks"], decisions, strict=True):
            drafts.review(Task.objects.get(pk=task["task_id"]), by=user, approve=decision == "yes")
        return agent

    return draft


def read(client, **query):
    answer = client.get(VERSIONS, query)
    return {row["prompt_version"]: row for row in answer.json()["results"]}


def test_approval_rates_compare_by_version_of_the_prompts(client, user, drafted):
    drafted("first", "yes", "no", "no", "no")
    drafted("second", "yes", "yes", "no")
    drafted("second", "yes")
    client.force_login(user)

    versions = read(client)

    assert {name: row["approval_rate"] for name, row in versions.items()} == {"first": 0.25, "second": 0.75}
    assert (versions["second"]["runs"], versions["second"]["similarity"]) == (2, 1.0)


def test_the_version_that_was_used_last_comes_first(client, user, drafted):
    drafted("first", "yes")
    drafted("second", "yes")
    client.force_login(user)

    assert list(read(client)) == ["second", "first"]


def test_one_agents_versions_are_read_by_its_name(client, user, drafted):
    agent = drafted("mine", "yes")
    testing.start_run(testing.make_agent(), by=user, prompt_version="other")
    client.force_login(user)

    assert list(read(client, agent=agent.slug)) == ["mine"]


def test_runs_of_others_and_runs_without_a_version_are_not_counted(client, make_user, user, drafted):
    drafted("first", "yes")
    testing.start_run(testing.make_agent(), by=(reader := make_user()))
    client.force_login(reader)

    assert models.Run.objects.count() == 2
    assert read(client) == {}


def test_an_agent_that_there_is_not_has_no_versions(client, user, drafted):
    drafted("first", "yes")
    client.force_login(user)

    assert read(client, agent="nobody") == {}
