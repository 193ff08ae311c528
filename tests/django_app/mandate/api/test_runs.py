import json
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from rest_framework.authtoken.models import Token

from mandate import models
from mandate.services import agents, runs
from shared_schemas import runs as wire
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db

RUNS = "/api/agents/runs/"
UNKNOWN = uuid.UUID(int=1)


@pytest.fixture
def post(client, user):
    client.force_login(user)

    def send(body, path=RUNS, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body)
        return client.post(path, content, content_type="application/json", headers=headers)

    return send


@pytest.fixture
def staff(make_user):
    def make(*permissions):
        person = make_user(is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        return person

    return make


def test_a_person_starts_a_run(post, agent, user):
    response = post({"agent": agent.slug, "input": {"module_id": 1}, "model": "gpt-other"})

    created = wire.RunCreated.model_validate_json(response.content)
    run = models.Run.objects.get(pk=created.run_id)
    assert (response.status_code, created.status) == (202, RunStatus.PENDING)
    assert (run.started_by, run.input, run.model) == (user, {"module_id": 1}, "gpt-other")


def test_a_page_starts_a_run_with_its_csrf_token_only(agent, user, problem_of):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.cookies["csrftoken"] = "a" * 32
    body = json.dumps({"agent": agent.slug, "input": {}})

    refused = browser.post(RUNS, body, content_type="application/json")
    accepted = browser.post(RUNS, body, content_type="application/json", headers={"X-CSRFToken": "a" * 32})

    assert problem_of(refused) == (403, ErrorCode.FORBIDDEN)
    assert accepted.status_code == 202


def test_a_program_starts_a_run_with_a_token(client, agent, user):
    token = Token.objects.create(user=user)

    response = client.post(
        RUNS,
        json.dumps({"agent": agent.slug, "input": {}}),
        content_type="application/json",
        headers={"Authorization": f"Token {token.key}"},
    )

    assert response.status_code == 202


def test_a_question_is_asked_awaited_and_answered(post, client, agent_service, deliver, report):
    agents.ensure("research", graph="research", default_model="any")
    asked = post({"query": "What is a list?"})
    address = f"{RUNS}{asked.json()['run_id']}/"
    deliver()
    while_working = client.get(address).json()

    agent_service.finish(agent_service.runs[0], {"query": "What is a list?", "result": "Things in order."})
    report(agent_service.runs[0])
    answered = client.get(address).json()

    assert (asked.status_code, set(asked.json())) == (202, {"run_id", "status"})
    assert (asked.json()["status"], while_working["status"], while_working["result"]) == (
        "pending",
        "pending",
        None,
    )
    assert (answered["status"], answered["result"], answered["error"]) == (
        "completed",
        "Things in order.",
        None,
    )


def test_a_question_that_fails_says_why(post, client, agent, settings, agent_service, deliver, report):
    settings.MANDATE = settings.MANDATE | {"RESEARCH_AGENT": agent.slug}
    asked = post({"query": "What is a list?"})
    deliver()

    agent_service.fail(agent_service.runs[0], ErrorCode.RUN_TIMEOUT)
    report(agent_service.runs[0])
    failed = client.get(f"{RUNS}{asked.json()['run_id']}/").json()

    assert (failed["status"], failed["result"]) == ("failed", None)
    assert failed["error"] == {"code": "run_timeout", "message": "made to fail"}


def test_a_run_is_exported_with_its_final_state(post, client, submitted, agent_service, report, user):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 7, "notes": ["a", "b"]})
    report(fake_run)
    client.force_login(user)

    exported = wire.RunExport.model_validate_json(client.get(f"{RUNS}{run.pk}/export/").content)

    assert (exported.result, exported.final_state) == (7, {"result": 7, "notes": ["a", "b"]})
    assert exported.started_by == user.get_username()


def test_nobody_exports_the_runs_of_others(client, make_user, submitted, problem_of):
    run, _ = submitted
    client.force_login(make_user())

    assert problem_of(client.get(f"{RUNS}{run.pk}/export/")) == (404, ErrorCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("outcome", "status"), [("finish", "completed"), ("fail", "failed"), ("interrupt", "cancelled")]
)
def test_every_run_that_ended_keeps_the_state_it_was_left_in(
    submitted, agent_service, report, outcome, status
):
    run, fake_run = submitted
    end = {
        "finish": lambda: agent_service.finish(fake_run, {"notes": ["a"]}),
        "fail": lambda: agent_service.fail(fake_run, ErrorCode.MODEL_FAILED, values={"notes": ["a"]}),
        "interrupt": lambda: agent_service.interrupt(fake_run, values={"notes": ["a"]}),
    }
    end[outcome]()

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.final_state) == (status, {"notes": ["a"]})


def test_a_query_is_short_for_the_research_agent(post, agent, settings):
    settings.MANDATE = settings.MANDATE | {"RESEARCH_AGENT": agent.slug}

    post({"query": "What is a list?"})

    assert models.Run.objects.get().input == {"query": "What is a list?"}


def test_a_repeated_request_is_answered_with_the_first_run(post, agent):
    body = {"agent": agent.slug, "input": {}}
    first = post(body, **{"Idempotency-Key": '"request-1"'})

    second = post(body, **{"Idempotency-Key": "request-1"})

    assert second.json() == first.json()
    assert second["Idempotent-Replayed"] == "true"
    assert models.Run.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, ErrorCode.MALFORMED_BODY, id="not JSON"),
        pytest.param({}, 422, ErrorCode.INVALID_REQUEST, id="neither form"),
        pytest.param({"agent": "nobody", "input": {}}, 422, ErrorCode.UNKNOWN_AGENT, id="unknown agent"),
        pytest.param({"query": "a", "extra": 1}, 422, ErrorCode.INVALID_REQUEST, id="unknown field"),
        pytest.param(
            {"query": "a", "limits": {"write": 1}}, 422, ErrorCode.INVALID_REQUEST, id="unknown limit"
        ),
        pytest.param({"query": 1}, 422, ErrorCode.INVALID_REQUEST, id="wrong type"),
        pytest.param({"query": "a\x00"}, 422, ErrorCode.UNSTORABLE_VALUE, id="NUL"),
        pytest.param(
            {"agent": "a", "input": {"text": "a" * 262_144}}, 413, ErrorCode.BODY_TOO_LARGE, id="large"
        ),
    ],
)
def test_a_bad_body_starts_nothing(post, problem_of, body, status, code):
    response = post(body)

    assert problem_of(response) == (status, code)
    assert not models.Run.objects.exists()


def test_a_malformed_key_starts_nothing(post, agent, problem_of):
    response = post({"agent": agent.slug, "input": {}}, **{"Idempotency-Key": "short"})

    assert problem_of(response) == (400, ErrorCode.IDEMPOTENCY_KEY_MALFORMED)
    assert not models.Run.objects.exists()


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}{UNKNOWN}/", f"{RUNS}{UNKNOWN}/events/"])
def test_nobody_unknown_sees_runs(client, problem_of, path):
    response = client.get(path)

    assert problem_of(response) == (401, ErrorCode.UNAUTHENTICATED)


def test_a_run_tells_its_whole_story(client, user, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.finish(
        fake_run, {"result": {"tasks": 3}}, usage=[{"model": "gpt", "calls": 2, "input_tokens": 5}]
    )
    report(fake_run)
    client.force_login(user)

    response = client.get(f"{RUNS}{run.pk}/")

    told = wire.Run.model_validate_json(response.content)
    assert (told.run_id, told.status, told.result) == (run.pk, RunStatus.COMPLETED, {"tasks": 3})
    assert (told.usage[0].calls, told.usage[0].input_tokens) == (2, 5)
    assert told.ended_at is not None


def test_a_failed_run_tells_why(client, user, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.MODEL_FAILED)
    report(fake_run)
    client.force_login(user)

    told = client.get(f"{RUNS}{run.pk}/").json()

    assert told["error"] == {"code": "model_failed", "message": "made to fail"}


def test_a_parked_run_names_its_open_approvals(client, user, parked, decide):
    run, (first, second) = parked("a", "b")
    decide(first)
    client.force_login(user)

    told = client.get(f"{RUNS}{run.pk}/").json()

    assert told["pending_approvals"] == [str(second.pk)]


@pytest.mark.parametrize("act", ["", "cancel/", "resume/"])
def test_a_run_of_somebody_else_is_not_there(client, post, start, make_user, problem_of, act):
    run = start(by=make_user())

    path = f"{RUNS}{run.pk}/{act}"
    response = post({}, path) if act else client.get(path)

    assert problem_of(response) == (404, ErrorCode.NOT_FOUND)


def test_people_list_their_own_runs_newest_first(client, user, start, make_user):
    mine = [start(), start()]
    start(by=make_user())
    client.force_login(user)

    page = wire.RunPage.model_validate_json(client.get(RUNS).content)

    assert [run.run_id for run in page.results] == [mine[1].pk, mine[0].pk]


def test_a_list_goes_on_where_its_page_ends(client, user, start):
    started = [start() for _ in range(3)]
    client.force_login(user)
    first = client.get(RUNS, {"limit": 2}).json()

    second = client.get(first["next"]).json()

    assert [run["run_id"] for run in second["results"]] == [str(started[0].pk)]
    assert second["next"] is None


def test_a_long_list_takes_no_more_queries(client, user, parked, start, django_assert_num_queries):
    parked("a", "b")
    for _ in range(5):
        start()
    client.force_login(user)

    with django_assert_num_queries(5):  # session, user, runs with agents, usage, approvals
        client.get(RUNS)


def test_staff_with_the_permission_see_everybodys_runs(client, staff, start):
    run = start()
    client.force_login(staff("view_run"))

    response = client.get(f"{RUNS}{run.pk}/")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        pytest.param(["view_run"], 403, id="may see"),
        pytest.param(["view_run", "change_run"], 200, id="may change"),
        pytest.param([], 404, id="may nothing"),
    ],
)
def test_staff_cancel_with_the_permission_only(client, staff, start, permissions, status):
    run = start()
    client.force_login(staff(*permissions))

    response = client.post(f"{RUNS}{run.pk}/cancel/")

    assert response.status_code == status


def test_a_person_cancels_a_run(post, start):
    run = start()

    response = post({}, f"{RUNS}{run.pk}/cancel/")

    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_a_person_resumes_a_failed_run(post, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)

    response = post({}, f"{RUNS}{run.pk}/resume/")

    assert (response.status_code, response.json()["status"]) == (202, "pending")


def test_an_illegal_move_is_a_conflict(post, start, problem_of):
    run = start()
    runs.cancel(run.pk)

    response = post({}, f"{RUNS}{run.pk}/resume/")

    assert problem_of(response) == (409, ErrorCode.ILLEGAL_TRANSITION)
