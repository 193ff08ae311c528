"""Results that are too large for an answer."""

import json

import pytest
from django.contrib.auth.models import Group
from pydantic import BaseModel

from mandate import exceptions, models, testing, tools
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallStatus

pytestmark = pytest.mark.django_db


class Size(tools.Schema):
    letters: int


class Text(BaseModel):
    text: str


def write(context: tools.Context, call: Size) -> Text:
    """Keep a group and answer at length."""
    Group.objects.create(name=f"group {Group.objects.count()}")
    return Text(text="ä" * call.letters)


@pytest.fixture
def tool(declare, settings):
    sizes = {"RESULT_BYTES": 1000, "READ_RESULT_BYTES": 100, "LARGEST_RESULT_BYTES": 2000}
    settings.MANDATE = settings.MANDATE | sizes
    return declare(write)


@pytest.fixture
def read_result(client):
    def get(run, result_id):
        headers = {"Authorization": f"Bearer {testing.token_of(run)}"}
        return client.get(f"/agent-api/tools/results/{result_id}/", headers=headers)

    return get


def test_a_result_of_the_largest_size_is_in_its_answer(start_run, tool):
    answer = testing.call_tool(tool, {"letters": 494}, run=start_run(tool))

    assert (answer.truncated, answer.result_id, len(answer.result["text"])) == (False, None, 494)
    assert not models.ToolResult.objects.exists()


def test_a_larger_result_is_cut_and_kept_whole(start_run, tool, read_result):
    run = start_run(tool)

    answer = testing.call_tool(tool, {"letters": 500}, run=run)

    whole = read_result(run, answer.result_id)
    assert (answer.status, answer.truncated) == (ToolCallStatus.SUCCEEDED, True)
    assert len(str(answer.result).encode()) <= 100
    assert "1011 bytes" in str(answer.note)
    assert str(answer.result_id) in str(answer.note)
    assert whole.content.decode().startswith(str(answer.result))
    assert whole.json() == {"text": "ä" * 500}


def test_a_result_that_is_too_large_to_be_kept_fails_its_call_and_leaves_nothing(
    start_run, tool, post_call, problem_of
):
    run, key = start_run(tool), testing.new_key()

    refused = post_call(run, tool, {"letters": 1000}, key=key)

    assert problem_of(refused) == (500, ErrorCode.TOOL_FAILED)
    assert "2011 bytes, and at most 2000" in refused.json()["detail"]
    assert not Group.objects.exists()
    assert not run.tool_calls.exists()


def test_a_decision_that_would_keep_too_much_leaves_the_question_open(start_run, declare, tool, make_user):
    asked = declare(write, name="ask", approval=tools.ApprovalRule(permission="auth.add_group"))
    testing.call_tool(asked, {"letters": 1000}, run=start_run(asked))
    approval = models.Approval.objects.get()

    with pytest.raises(exceptions.RequestRefused) as refusal:
        testing.decide(approval.pk, "approve", by=make_user(is_superuser=True))

    approval.refresh_from_db()
    assert (refusal.value.code, approval.status) == (ErrorCode.TOOL_FAILED, "pending")
    assert not Group.objects.exists()


def test_a_cut_answer_is_replayed_to_the_letter_and_its_whole_is_kept_once(start_run, tool, post_call):
    run, key = start_run(tool), testing.new_key()

    answers = [post_call(run, tool, {"letters": 500}, key=key).content for _ in range(3)]

    assert answers == [answers[0]] * 3
    assert (models.ToolResult.objects.count(), Group.objects.count()) == (1, 1)


def test_a_model_that_repeats_itself_is_shown_the_same_whole_result(start_run, tool, read_result):
    run = start_run(tool)
    first = testing.call_tool(tool, {"letters": 500}, run=run)

    repeat = testing.call_tool(tool, {"letters": 500}, run=run)

    assert (repeat.result, repeat.truncated, repeat.result_id) == (first.result, True, first.result_id)
    assert read_result(run, repeat.result_id).status_code == 200


def test_a_result_is_read_by_its_own_run_only(start_run, tool, read_result, problem_of):
    answer = testing.call_tool(tool, {"letters": 500}, run=start_run(tool))

    assert problem_of(read_result(start_run(tool), answer.result_id)) == (404, "not_found")


def test_a_run_that_has_ended_reads_no_result(start_run, tool, read_result, problem_of):
    run = start_run(tool)
    answer = testing.call_tool(tool, {"letters": 500}, run=run)
    models.Run.objects.update(status="completed", ended_at="2026-01-01T00:00Z")

    assert problem_of(read_result(run, answer.result_id)) == (403, "run_not_active")


def test_people_read_the_results_of_their_runs(start_run, tool, client, user, make_user, problem_of):
    run = start_run(tool)
    answer = testing.call_tool(tool, {"letters": 500}, run=run)
    path = f"/api/agents/runs/{run.pk}/results/{answer.result_id}/"

    client.force_login(user)
    own = client.get(path)
    client.force_login(make_user())
    others = client.get(path)

    assert json.loads(own.content) == {"text": "ä" * 500}
    assert problem_of(others) == (404, "not_found")


def test_an_approved_call_may_have_a_large_result_too(start_run, tool, declare, make_user, read_result):
    asked = declare(write, name="ask", approval=tools.ApprovalRule(permission="auth.add_group"))
    run, key = start_run(asked), testing.new_key()
    testing.call_tool(asked, {"letters": 500}, run=run, key=key)

    approval = models.Approval.objects.get()
    testing.decide(approval.pk, "edit", arguments={"letters": 600}, by=make_user(is_superuser=True))

    answer = testing.call_tool(asked, {"letters": 500}, run=run, key=key)
    assert len(read_result(run, answer.result_id).json()["text"]) == 600
    assert "A person changed the arguments" in str(answer.note)
