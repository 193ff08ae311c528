import uuid
from datetime import UTC, datetime, timedelta

import pytest

from mandate import models, testing
from shared_schemas import keys, tokens
from shared_schemas.runs import RunStatus


@pytest.fixture
def worker_token(settings):
    def make(key=None, **options):
        defaults = {
            "typ": tokens.TokenType.WORKER,
            "issuer": tokens.AGENT_SERVICE,
            "audience": tokens.DJANGO,
            "subject": tokens.AGENT_SERVICE,
            "token_id": str(uuid.uuid4()),
        }
        return tokens.issue(keys.parse_signing(key or settings.AGENT_SIGNING_KEY), **defaults | options)

    return make


@pytest.fixture
def open_session(client, worker_token):
    """Opens a session of a run over HTTP as its worker."""

    def post(run, *, token=None, **fields):
        body = {"run_id": str(run.pk), "thread_id": str(run.thread_id), "epoch": 5} | fields
        headers = {"Authorization": f"Bearer {token or worker_token()}"}
        return client.post("/agent-api/sessions/", body, content_type="application/json", headers=headers)

    return post


@pytest.fixture
def run(start_run, add_tool):
    run = start_run(add_tool, tool_calls=9)
    models.Run.objects.update(status=RunStatus.PENDING, epoch=0)
    return run


def test_a_session_gives_a_token_the_tools_and_the_limits(open_session, run, add_tool, post_call):
    response = open_session(run)

    session = response.json()
    assert response.status_code == 201
    assert (session["agent"], session["acting_for"]) == (run.agent.slug, "anna")
    assert [tool["name"] for tool in session["tools"]] == [add_tool]
    assert session["limits"]["tool_calls"] == 9
    assert post_call(session["run_token"], add_tool, {"name": "red"}).status_code == 200


def test_the_token_is_kept_as_a_hash_only(open_session, run):
    token = open_session(run).json()["run_token"]

    kept = models.ToolSession.objects.get()
    assert token.startswith("djr_")
    assert len(kept.token_hash) == 64
    assert token not in str(vars(kept))


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL])
def test_a_worker_that_begins_makes_its_run_running(open_session, run, status):
    models.Run.objects.update(status=status)

    open_session(run)

    run.refresh_from_db()
    assert (run.status, run.epoch) == (RunStatus.RUNNING, 5)


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_that_has_ended_opens_no_session(open_session, run, problem_of, status):
    models.Run.objects.update(status=status, ended_at=datetime.now(UTC))

    response = open_session(run)

    assert problem_of(response) == (403, "run_not_active")
    assert not models.ToolSession.objects.exists()


def test_a_renewed_session_has_another_token_and_the_old_one_is_dead(
    open_session, run, post_call, add_tool, problem_of
):
    old = open_session(run).json()

    new = open_session(run).json()

    assert new["session_id"] == old["session_id"]
    assert problem_of(post_call(old["run_token"], add_tool, {"name": "red"})) == (401, "unauthenticated")
    assert post_call(new["run_token"], add_tool, {"name": "red"}).status_code == 200


def test_a_newer_worker_takes_over(open_session, run, post_call, add_tool, problem_of):
    old = open_session(run).json()["run_token"]

    new = open_session(run, epoch=6).json()["run_token"]

    assert problem_of(post_call(old, add_tool, {"name": "red"})) == (409, "stale_worker")
    assert problem_of(open_session(run, epoch=5)) == (409, "stale_worker")
    assert post_call(new, add_tool, {"name": "red"}).status_code == 200


def test_a_closed_session_is_not_opened_again_by_the_same_worker(
    client, open_session, run, post_call, add_tool, problem_of
):
    token = open_session(run).json()["run_token"]
    headers = {"Authorization": f"Bearer {token}"}

    closed = [client.delete("/agent-api/sessions/current/", headers=headers).status_code for _ in range(2)]

    assert closed == [204, 204]
    assert problem_of(post_call(token, add_tool, {"name": "red"})) == (401, "unauthenticated")
    assert problem_of(open_session(run)) == (409, "stale_worker")
    assert open_session(run, epoch=6).status_code == 201


def test_an_expired_token_says_so(run, add_tool, post_call, problem_of):
    models.Run.objects.update(status=RunStatus.RUNNING)
    token = testing.token_of(run, lifetime=timedelta(seconds=-1))

    assert problem_of(post_call(token, add_tool, {"name": "red"})) == (401, "token_expired")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        pytest.param({"run_id": str(uuid.uuid4())}, 404, "not_found", id="no such run"),
        pytest.param({"thread_id": "another"}, 403, "forbidden", id="another thread"),
        pytest.param({"epoch": 0}, 422, "invalid_request", id="no epoch"),
        pytest.param({"epoch": "5"}, 422, "invalid_request", id="wrong type"),
        pytest.param({"run_id": "x"}, 422, "invalid_request", id="not a UUID"),
        pytest.param({"more": 1}, 422, "invalid_request", id="unknown field"),
    ],
)
def test_a_session_that_cannot_be_is_refused(open_session, run, problem_of, fields, status, code):
    assert problem_of(open_session(run, **fields)) == (status, code)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"key": keys.generate()}, "unauthenticated", id="foreign key"),
        pytest.param({"typ": tokens.TokenType.SERVICE}, "unauthenticated", id="another type"),
        pytest.param({"audience": "somebody"}, "unauthenticated", id="another audience"),
        pytest.param({"issuer": "somebody"}, "unauthenticated", id="another issuer"),
        pytest.param({"now": datetime.now(UTC) - timedelta(minutes=5)}, "token_expired", id="old"),
    ],
)
def test_a_worker_must_be_believed(open_session, run, worker_token, problem_of, options, code):
    response = open_session(run, token=worker_token(**options))

    assert problem_of(response) == (401, code)
    assert not models.ToolSession.objects.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(
            lambda run: models.Agent.objects.update(is_paused=True), "agent_paused", id="agent paused"
        ),
        pytest.param(lambda run: _switch_off(run.agent.user), "forbidden", id="agent's account off"),
        pytest.param(lambda run: _switch_off(run.started_by), "forbidden", id="person's account off"),
        pytest.param(
            lambda run: models.Agent.objects.update(tools=[]), "tool_not_granted", id="tool taken away"
        ),
        pytest.param(lambda run: models.Run.objects.update(tools=[]), "tool_not_granted", id="run narrowed"),
        pytest.param(
            lambda run: models.ToolSwitch.objects.create(tool="add_group"), "tool_paused", id="tool paused"
        ),
    ],
)
def test_a_switch_takes_effect_at_the_next_call(
    run, open_session, post_call, add_tool, problem_of, change, code
):
    token = open_session(run).json()["run_token"]
    change(run)

    assert problem_of(post_call(token, add_tool, {"name": "red"})) == (403, code)


def test_a_paused_tool_is_not_offered_and_one_that_works_again_is(run, open_session, add_tool):
    switch = models.ToolSwitch.objects.create(tool=add_tool)
    paused = open_session(run).json()["tools"]
    switch.is_paused = False
    switch.save()

    offered = open_session(run).json()["tools"]

    assert (paused, [tool["name"] for tool in offered]) == ([], [add_tool])


def test_a_tool_that_nobody_declares_is_unknown(run, open_session, post_call, problem_of):
    token = open_session(run).json()["run_token"]

    assert problem_of(post_call(token, "missing", {})) == (404, "unknown_tool")


def _switch_off(user):
    user.is_active = False
    user.save()
