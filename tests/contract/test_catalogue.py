"""Django's catalogue of models, as it is felt at both sides and at the models themselves."""

import httpx
import pytest

from mandate import models, tokens
from mandate.services import agents, dispatcher, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db(transaction=True)

WEBHOOKS = "/api/agents/webhooks/"


@pytest.fixture
def keep(settings):
    """Keep a catalogue in Django's settings."""

    def kept(**entries):
        settings.MANDATE = settings.MANDATE | {"MODELS": entries}

    return kept


@pytest.fixture
def judge(both_sides, person):
    return agents.ensure("judge", graph="judging", default_model="house")


@pytest.fixture
def ended(both_sides):
    """Deliver what a run has to say, and wait for its end."""
    _, django_side = both_sides

    def wait(run):
        dispatcher.deliver_due()
        run.refresh_from_db()
        django_side.passage.wait_for("POST", WEBHOOKS, holding=str(run.agent_run_id))
        run.refresh_from_db()
        return run

    return wait


@pytest.fixture
def asked(model_side):
    """Return how the models were asked since the test began."""
    server, _ = model_side
    server.requests.clear()
    return server.requests


@pytest.mark.parametrize(
    ("options", "field"),
    [({}, "messages"), ({"use_responses_api": True}, "input")],
    ids=["chat", "responses"],
)
def test_a_model_is_asked_where_and_how_the_catalogue_says(
    judge, keep, ended, asked, model_side, person, options, field
):
    keep(house={"provider": "openai", "base_url": model_side[1]["openai"], **options})

    run = ended(runs.start(agent=judge, input={"text": "judge"}, by=person))

    assert (run.status, run.result) == (RunStatus.COMPLETED, 7)
    assert [(body["model"], field in body) for body in asked] == [("house", True)]


def test_an_address_that_the_operator_does_not_allow_is_never_asked(judge, keep, ended, asked, person):
    keep(house={"provider": "openai", "base_url": "https://elsewhere.example/v1"})

    run = ended(runs.start(agent=judge, input={"text": "judge"}, by=person))

    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.UNKNOWN_MODEL)
    assert "AGENT_MODEL_BASE_URLS" in run.error_message


def test_the_catalogues_fallback_answers_and_is_paid_for_a_model_that_is_away(
    judge, keep, ended, asked, model_side, person
):
    second = {"provider": "anthropic", "base_url": model_side[1]["anthropic"], "input": "10", "output": "20"}
    keep(**{"house": {"provider": "openai", "fallback": "claude-spare"}, "claude-spare": second})

    run = ended(runs.start(agent=judge, input={"text": "judge"}, by=person))

    used = run.usage.get()
    assert (run.status, run.result, used.model) == (RunStatus.COMPLETED, 7, "claude-spare")
    assert [body["model"] for body in asked] == ["claude-spare"]
    assert run.cost * 10**6 == used.input_tokens * 10 + used.output_tokens * 20


def test_a_fallback_without_a_key_is_not_there(judge, keep, ended, asked, model_side, person):
    first = {"provider": "openai", "base_url": model_side[1]["openai"], "fallback": "gemini-spare"}
    keep(**{"house": first, "gemini-spare": {"provider": "google"}})

    run = ended(runs.start(agent=judge, input={"text": "judge"}, by=person))

    assert (run.status, run.result) == (RunStatus.COMPLETED, 7)
    assert [body["model"] for body in asked] == ["house"]


def test_a_run_whose_own_model_has_no_key_fails_and_says_so(judge, keep, ended, asked, model_side, person):
    spare = {"provider": "openai", "base_url": model_side[1]["openai"]}
    keep(house={"provider": "google", "fallback": "gpt-spare"}, **{"gpt-spare": spare})

    run = ended(runs.start(agent=judge, input={"text": "judge"}, by=person))

    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.MODEL_WITHOUT_KEY)
    assert "GOOGLE_API_KEY" in run.error_message
    assert not asked


@pytest.mark.parametrize(
    ("path", "named", "pointer"),
    [
        ("/api/agents/runs/", {"model": "other"}, "/model"),
        ("/api/agents/comparisons/", {"models": ["house", "other"]}, "/models/1"),
    ],
)
def test_django_refuses_a_model_outside_the_catalogue(judge, keep, http, path, named, pointer):
    keep(house={"provider": "openai"}, off={"provider": "openai", "enabled": False})

    answer = http.post(path, json={"agent": judge.slug, "input": {"text": "judge"}, **named})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, ErrorCode.UNKNOWN_MODEL)
    assert problem["errors"] == [{"pointer": pointer, "detail": "One of: house."}]
    assert not models.Run.objects.exists()


def test_the_agent_service_refuses_a_model_that_the_run_was_not_granted(
    both_sides, judge, keep, asked, model_side, person
):
    for_all = {"provider": "openai", "base_url": model_side[1]["openai"]}
    keep(house=for_all, other=for_all)
    run = runs.start(agent=judge, input={"text": "judge"}, by=person)
    body = {
        "assistant_id": "judging",
        "input": {"text": "judge"},
        "context": {"model": "other"},
        "metadata": {"mandate_run": str(run.pk), "mandate_segment": 1},
        "if_not_exists": "create",
    }
    headers = {"Authorization": f"Bearer {tokens.for_service(person)}"}
    path = f"/threads/{run.thread_id}/runs"

    with httpx.Client(base_url=both_sides[0].url, headers=headers, timeout=30, verify=False) as service:
        made = service.post(path, json=body).json()["run_id"]
        both_sides[1].passage.wait_for("POST", WEBHOOKS, holding=made)
        seen = service.get(f"{path}/{made}").json()

    assert (seen["status"], seen["error"]["code"]) == ("error", ErrorCode.UNKNOWN_MODEL)
    assert "it grants house" in seen["error"]["message"]
    assert not asked


def test_a_model_that_is_switched_off_meanwhile_fails_the_run_which_goes_on_when_it_is_back(
    judge, keep, ended, asked, model_side, person
):
    entry = {"provider": "openai", "base_url": model_side[1]["openai"]}
    keep(house=entry)
    run = runs.start(agent=judge, input={"text": "judge"}, by=person)
    keep(house=entry | {"enabled": False})
    failed = ended(run).error_code

    keep(house=entry)
    runs.resume(run.pk)

    assert failed == ErrorCode.UNKNOWN_MODEL
    assert ended(run).status == RunStatus.COMPLETED
