import pytest
from pydantic import ValidationError

from shared_schemas import base, problems, runs, tools

APPROVAL = {
    "type": "approval",
    "approval_id": "7b2c7f9e-6f0e-4a53-9d5c-0f3f0b6f8a11",
    "tool": "publish_task",
    "arguments": {"task_id": 3},
    "message": "Publish the task 'Sum a list'?",
    "toolCallId": "call_1",
    "expiresAt": "2026-11-24T12:00:00Z",
    "responseSchema": {},
}


def every_model(root):
    for model in root.__subclasses__():
        yield model
        yield from every_model(model)


def test_a_request_with_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="colour"):
        tools.ToolCallRequest.model_validate({"arguments": {}, "colour": "red"})


def test_an_answer_with_an_unknown_field_is_read():
    problem = problems.Problem.model_validate(
        {"title": "Not found", "status": 404, "detail": "No such run.", "code": "not_found", "trace": "later"}
    )

    assert problem.code is problems.ErrorCode.NOT_FOUND


def test_no_request_tolerates_what_it_does_not_know():
    assert {model.model_config["extra"] for model in every_model(base.Request)} == {"forbid"}


def test_an_approval_speaks_the_names_that_interfaces_know():
    approval = tools.ApprovalRequest.model_validate(APPROVAL)

    assert approval.model_dump(mode="json", by_alias=True) == APPROVAL


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"agent": "a", "input": {}, "query": "q"}, id="both forms"),
        pytest.param({"agent": "a"}, id="neither form"),
        pytest.param({"input": {}}, id="input without an agent"),
        pytest.param({"query": ""}, id="empty query"),
    ],
)
def test_a_run_is_asked_for_in_one_form(body):
    with pytest.raises(ValidationError):
        runs.RunCreate.model_validate(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"decision": "approve", "arguments": {}}, id="approve with arguments"),
        pytest.param({"decision": "edit"}, id="edit without arguments"),
        pytest.param({"decision": "maybe"}, id="neither"),
    ],
)
def test_arguments_come_with_an_edit_and_only_with_it(body):
    with pytest.raises(ValidationError):
        runs.Decision.model_validate(body)


def test_a_run_token_does_not_show_itself():
    session = tools.Session.model_validate(
        {
            "session_id": "7b2c7f9e-6f0e-4a53-9d5c-0f3f0b6f8a11",
            "run_token": "djr_secret",
            "expires_at": "2026-11-21T12:15:00Z",
            "agent": "author",
            "acting_for": "ada",
            "tools": [],
            "limits": {},
        }
    )

    assert "djr_secret" not in repr(session)


def test_a_limit_that_nobody_knows_is_an_error_in_a_request_and_ignored_in_an_answer():
    asked = {"query": "What is due?", "limits": {"writes": 1, "write": 0}}

    with pytest.raises(ValidationError):
        runs.RunCreate.model_validate(asked)

    assert tools.Limits.model_validate(asked["limits"]) == tools.Limits(writes=1)
