from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.urls import reverse

from mandate import models
from mandate.pages import forms
from mandate.selectors import agents
from mandate.services import runs
from mandate.tools import choosing
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db

SCHEMA = {"properties": {"topic": {"type": "string"}}, "required": ["topic"]}


@pytest.fixture
def known(agent):
    """An agent of whose graph the agent service has told what it takes."""
    key = f"mandate-input-schema:{agent.graph}"
    cache.set(key, SCHEMA)
    yield agent
    cache.delete(key)


@pytest.fixture
def send(client, user, known):
    client.force_login(user)

    def post(**fields):
        given = {"request_key": "one", "models": [known.default_model], "input-topic": "Loops"}
        return client.post(reverse("mandate-start-page", args=[known.slug]), given | fields)

    return post


def test_a_form_that_is_sent_twice_starts_one_run(send):
    first, second = send(), send()

    run = models.Run.objects.get()
    assert run.input == {"topic": "Loops"}
    assert first.url == second.url == reverse("mandate-run-page", args=[run.pk])


def test_what_is_missing_is_told_and_nothing_starts(send):
    response = send(**{"input-topic": ""})

    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["input-topic"]
    assert not models.Run.objects.exists()


def test_a_paused_agent_is_refused_above_the_fields(send, known):
    models.Agent.objects.filter(pk=known.pk).update(is_paused=True)

    response = send()

    assert "is paused" in response.context["form"].non_field_errors()[0]


def test_an_agent_is_started_by_those_who_may(send, client, known, user):
    models.Agent.objects.filter(pk=known.pk).update(start_permission="auth.change_user")

    refused = send()
    offered = client.get(reverse("mandate-agents-page")).context["agents"]
    user.user_permissions.add(Permission.objects.get(codename="change_user"))

    assert (refused.status_code, offered) == (403, [])
    assert send().status_code == 302


def test_without_the_agent_service_the_page_says_so(client, user, agent):
    client.force_login(user)

    response = client.get(reverse("mandate-start-page", args=[agent.slug]))

    assert response.status_code == 503
    assert "does not answer" in response.content.decode()
    assert "start.js" not in response.content.decode()


SIZED = {"properties": {"count": {"type": "integer", "default": 3}}}


@pytest.fixture
def finished(agent, user):
    """Runs that have finished, with what they were given and what they cost."""

    def make(given, cost, model="gpt-a"):
        run = runs.start(agent=agent, input=given, by=user, model=model)
        runs.move(runs.locked(run.pk), RunStatus.COMPLETED)
        models.Run.objects.filter(pk=run.pk).update(cost=cost)

    return make


def test_the_usual_cost_is_that_of_one_of_what_is_made(agent, finished):
    assert choosing.size_of(agent.graph) == "count"
    finished({"count": 1}, "0.02")
    finished({}, "0.04")
    finished({"count": "many"}, "0.04")
    finished({"count": 3}, "0.90", model="gpt-b")

    costs = agents.usual_costs(agent, SIZED)

    assert costs["gpt-a"] == agents.UsualCost(each=Decimal("0.1") / 7, runs=3)
    assert costs["gpt-b"] == agents.UsualCost(each=Decimal("0.3"), runs=1)


def test_a_model_that_has_not_run_is_estimated_by_its_price(agent, finished, settings):
    prices = {name: {"input": "1", "output": "2"} for name in ("gpt-a", "gpt-b")}
    settings.MANDATE = settings.MANDATE | {"MODEL_PRICES": prices}
    finished({"count": 2}, "0.50")
    run = models.Run.objects.get()
    models.ModelUsage.objects.create(
        run=run, segment=1, model="gpt-a", calls=3, input_tokens=600_000, output_tokens=200_000
    )

    costs = agents.usual_costs(agent, SIZED)

    assert costs["gpt-a"] == agents.UsualCost(each=Decimal("0.25"), runs=1)
    assert costs["gpt-b"] == agents.UsualCost(each=Decimal("0.5"), runs=0)


@pytest.mark.parametrize(
    ("count", "total"),
    [
        pytest.param("2", "0.6000", id="as many as asked for"),
        pytest.param("", "0.3000", id="none given"),
        pytest.param("-1", "0.3000", id="no number of anything"),
    ],
)
def test_the_estimate_takes_number_and_models_into_account(agent, user, count, total):
    costs = {
        name: agents.UsualCost(each=Decimal(each), runs=1) for name, each in [("a", "0.1"), ("b", "0.2")]
    }
    data = {"models": ["a", "b", "c"], "input-count": count}

    estimate = forms.Start(data, agent=agent, schema=SIZED, costs=costs, user=user).estimate()

    assert (str(estimate.total), estimate.unknown) == (total, ["c"])


def test_a_model_that_is_refused_is_told_at_the_models(send, settings):
    settings.MANDATE = settings.MANDATE | {"MODELS": {"gpt-a": {"provider": "openai"}}}

    response = send(models=["gpt-a"], **{"input-topic": "Loops"})
    refused = send(models=["gpt-z"])

    assert response.status_code == 302
    assert list(refused.context["form"].errors) == ["models"]
