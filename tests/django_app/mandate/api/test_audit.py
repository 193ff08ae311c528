import json

import pytest
from django.contrib.auth.models import Group, Permission

from mandate import models, testing, tools
from mandate.services import drafts, outbox
from practice.models import Module, Task
from shared_schemas import audit as wire
from shared_schemas.problems import ErrorCode

pytestmark = pytest.mark.django_db


@pytest.fixture
def send(client, user):
    client.force_login(user)

    def post(path, body=None):
        return client.post(f"/api/agents/{path}", json.dumps(body or {}), content_type="application/json")

    return post


@pytest.fixture
def allow(user):
    def give(*codenames):
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))

    return give


@pytest.fixture
def undoable(declare, start_run):
    def remove(context, call, answer):
        Group.objects.filter(name=call.name).delete()

    tool = declare(undo=remove)
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    return models.ToolCall.objects.get()


def test_the_owner_of_a_run_reads_its_story(client, user, start_run, add_tool):
    run = start_run(add_tool)
    testing.call_tool(add_tool, {"name": "red"}, run=run)
    client.force_login(user)

    story = wire.Audit.model_validate_json(client.get(f"/api/agents/runs/{run.pk}/audit/").content)

    assert story.run.run_id == run.pk
    assert [entry.event for entry in story.entries] == ["created", "session_opened", "called", "answered"]


def test_somebody_elses_story_is_not_told(client, make_user, start_run, add_tool, problem_of):
    client.force_login(make_user())

    assert problem_of(client.get(f"/api/agents/runs/{start_run(add_tool).pk}/audit/")) == (
        404,
        ErrorCode.NOT_FOUND,
    )


def test_a_call_is_undone(send, allow, undoable, user):
    allow("undo_toolcall")

    done = wire.Undone.model_validate_json(
        send(f"tool-calls/{undoable.pk}/undo/", {"comment": "No."}).content
    )

    assert (done.undone_by, done.comment) == (user.username, "No.")
    assert not Group.objects.exists()


def test_undoing_needs_its_permission(send, undoable, problem_of):
    assert problem_of(send(f"tool-calls/{undoable.pk}/undo/")) == (403, ErrorCode.FORBIDDEN)


def test_a_call_of_somebody_elses_run_is_not_there_to_be_undone(client, make_user, undoable, problem_of):
    other = make_user()
    other.user_permissions.set(Permission.objects.filter(codename="undo_toolcall"))
    client.force_login(other)

    answer = client.post(f"/api/agents/tool-calls/{undoable.pk}/undo/", "{}", content_type="application/json")

    assert problem_of(answer) == (404, ErrorCode.NOT_FOUND)


def test_a_call_that_cannot_be_undone_says_so(send, allow, start_run, add_tool, problem_of):
    allow("undo_toolcall")
    answer = testing.call_tool(add_tool, {"name": "red"}, run=start_run(add_tool))

    assert problem_of(send(f"tool-calls/{answer.tool_call}/undo/")) == (409, ErrorCode.NOT_UNDOABLE)


def test_a_message_is_delivered_again(send, allow):
    tools.topic("test.again")(lambda _: None)
    message = outbox.write("test.again", key="one-key", payload={})
    models.OutboxMessage.objects.update(status="dead", attempts=200)
    allow("change_outboxmessage")

    answer = send(f"messages/{message.pk}/redeliver/")

    again = wire.Message.model_validate_json(answer.content)
    assert (answer.status_code, again.key, again.status, again.attempts) == (202, "one-key", "pending", 0)


def test_of_a_submission_that_was_given_up_the_run_is_to_be_resumed(send, allow, start, problem_of):
    start()
    models.OutboxMessage.objects.update(status="dead")
    allow("change_outboxmessage")
    message = models.OutboxMessage.objects.get()

    assert problem_of(send(f"messages/{message.pk}/redeliver/")) == (409, ErrorCode.CONFLICT)


@pytest.mark.parametrize("number", [1, 2**80])
def test_a_message_that_is_not_there_is_not_delivered(send, allow, problem_of, number):
    allow("change_outboxmessage")

    assert problem_of(send(f"messages/{number}/redeliver/")) == (404, ErrorCode.NOT_FOUND)


def test_redelivery_needs_its_permission(send, problem_of):
    assert problem_of(send("messages/1/redeliver/")) == (403, ErrorCode.FORBIDDEN)


def test_the_quality_of_drafts_is_read_with_its_permission(client, user, allow, problem_of):
    module = Module.objects.create(slug="m", title="M", language="python", body="b", published=True)
    agent = testing.make_agent("add_tasks")
    drafted = {"title": "One", "text": "Write a function that adds."}
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [drafted]}, agent=agent)
    drafts.review(Task.objects.get(), by=user)
    client.force_login(user)
    refused = client.get("/api/agents/quality/")
    allow("view_draftreview")

    (figure,) = client.get("/api/agents/quality/").json()["results"]

    assert problem_of(refused) == (403, ErrorCode.FORBIDDEN)
    assert (figure["agent"], figure["unchanged"], figure["similarity"]) == (agent.slug, 1, 1.0)
