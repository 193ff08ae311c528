import pytest
from django.contrib.auth.models import Group

from mandate import models, testing, tools
from shared_schemas.runs import RunStatus


def test_a_write_answers_with_its_result_and_keeps_it(post_call, start_run, add_tool):
    run = start_run(add_tool)

    response = post_call(run, add_tool, {"name": "red"}, tool_call_id="call_1")

    row = models.ToolCall.objects.get()
    assert response.status_code == 200
    assert response.json()["result"] == {"name": "red", "groups": 1}
    assert response.json()["tool_call"] == str(row.pk)
    assert (row.status, row.tool_call_id, row.acting_for) == ("succeeded", "call_1", run.started_by)
    assert row.links.get().record == Group.objects.get()


def test_the_same_key_is_answered_from_the_ledger(post_call, start_run, add_tool):
    run, key = start_run(add_tool), testing.new_key()
    first = post_call(run, add_tool, {"name": "red"}, key=key)

    second = post_call(run, add_tool, {"name": "red"}, key=f'"{key}"')

    assert second.json() == first.json()
    assert (first.headers.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert (Group.objects.count(), models.ToolCall.objects.get().replay_count) == (1, 1)


def test_a_key_of_another_run_is_another_key(post_call, start_run, add_tool):
    key = testing.new_key()
    post_call(start_run(add_tool), add_tool, {"name": "red"}, key=key)

    response = post_call(start_run(add_tool), add_tool, {"name": "blue"}, key=key)

    assert response.json()["result"]["name"] == "blue"


def test_a_read_needs_no_key_and_leaves_no_row(post_call, start_run, list_tool):
    Group.objects.create(name="red")

    response = post_call(start_run(list_tool), list_tool, {}, key=None)

    assert response.json()["result"] == {"names": ["red"]}
    assert not models.ToolCall.objects.exists()


@pytest.mark.parametrize(
    ("key", "code"),
    [
        pytest.param(None, "idempotency_key_missing", id="none"),
        pytest.param("12345678", "idempotency_key_malformed", id="another kind of key"),
        pytest.param("tk1_short", "idempotency_key_malformed", id="too short"),
    ],
)
def test_a_write_needs_a_well_formed_key(post_call, start_run, add_tool, problem_of, key, code):
    response = post_call(start_run(add_tool), add_tool, {"name": "red"}, key=key)

    assert problem_of(response) == (400, code)
    assert not Group.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        pytest.param({}, "/arguments/name", id="missing"),
        pytest.param({"name": "red", "colour": 1}, "/arguments/colour", id="unknown"),
        pytest.param({"name": "red", "size": "2"}, "/arguments/size", id="wrong type"),
    ],
)
def test_arguments_that_do_not_fit_are_named(post_call, start_run, add_tool, problem_of, arguments, pointer):
    response = post_call(start_run(add_tool), add_tool, arguments)

    assert problem_of(response) == (422, "invalid_arguments")
    assert [place["pointer"] for place in response.json()["errors"]] == [pointer]
    assert not models.ToolCall.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, "malformed_body", id="not JSON"),
        pytest.param(b"\xff{}", 400, "malformed_body", id="not UTF-8"),
        pytest.param(b"[" * 100_000, 400, "malformed_body", id="too deep to read"),
        pytest.param(
            b'{"arguments": {"name": "%s"}}' % (b"x" * 262_144), 413, "body_too_large", id="too large"
        ),
        pytest.param(b'{"arguments": {"name": "a\\u0000"}}', 422, "unstorable_value", id="NUL"),
        pytest.param(b'{"arguments": {"name": "\\ud800"}}', 422, "unstorable_value", id="lone surrogate"),
        pytest.param(b'{"arguments": {"size": NaN}}', 422, "unstorable_value", id="NaN"),
        pytest.param(b'{"arguments": {"size": 18446744073709551616}}', 422, "unstorable_value", id="65 bits"),
        pytest.param(b'{"arguments": {}, "more": 1}', 422, "invalid_request", id="unknown field"),
        pytest.param(b"{}", 422, "invalid_request", id="missing field"),
        pytest.param(b"[]", 422, "invalid_request", id="not an object"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    post_call, start_run, add_tool, problem_of, body, status, code
):
    response = post_call(start_run(add_tool), add_tool, body)

    assert problem_of(response) == (status, code)
    assert not models.ToolCall.objects.exists()


def test_only_json_is_taken(client, start_run, add_tool, problem_of):
    headers = {"Authorization": f"Bearer {testing.token_of(start_run(add_tool))}"}

    response = client.post(f"/agent-api/tools/{add_tool}/calls/", {"name": "red"}, headers=headers)

    assert problem_of(response) == (415, "unsupported_media_type")


@pytest.mark.parametrize("token", ["", "djr_unknown", "eyJhbGciOiJFZERTQSJ9.e30.x"])
def test_a_token_that_is_not_known_is_refused_before_the_body_is_judged(
    post_call, add_tool, problem_of, db, token
):
    response = post_call(token, add_tool, b"{")

    assert problem_of(response) == (401, "unauthenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_another_method_is_answered_with_the_one_that_works(client, problem_of):
    response = client.get("/agent-api/tools/any/calls/")

    assert problem_of(response) == (405, "method_not_allowed")
    assert response["Allow"] == "POST"


def test_an_address_that_leads_nowhere_is_a_problem_too(client, problem_of):
    assert problem_of(client.post("/agent-api/nothing/")) == (404, "not_found")


def test_what_nobody_expected_tells_nothing(post_call, start_run, declare, problem_of, caplog):
    def break_down(_context: tools.Context, _call: tools.Schema) -> tools.Schema:
        """Fail."""
        raise RuntimeError("the secret is 42")

    tool = declare(break_down)
    run = start_run(tool)

    response = post_call(run, tool, {})

    assert problem_of(response) == (500, "tool_failed")
    assert "secret" not in response.text
    assert str(run.pk) in caplog.text
    assert run.tool_calls.count() == 0


def test_the_tools_of_a_run_are_those_of_its_mandate(client, start_run, add_tool, list_tool):
    run = start_run(add_tool, list_tool)
    models.Run.objects.update(tools=[list_tool])

    response = client.get("/agent-api/tools/", headers={"Authorization": f"Bearer {testing.token_of(run)}"})

    assert [tool["name"] for tool in response.json()["tools"]] == [list_tool]
    assert response.json()["tools"][0]["input_schema"]["additionalProperties"] is False


def test_a_cancelled_run_calls_nothing(post_call, start_run, add_tool, problem_of):
    run = start_run(add_tool)
    token = testing.token_of(run)
    models.Run.objects.update(status=RunStatus.CANCELLED, ended_at="2026-01-01T00:00Z")

    response = post_call(token, add_tool, {"name": "red"})

    assert problem_of(response) == (403, "run_not_active")
    assert not Group.objects.exists()
