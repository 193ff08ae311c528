import csv
import io
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from mandate import models, testing
from mandate.selectors import comparisons as selectors
from mandate.services import comparisons, drafts
from practice import agent_tools
from practice.models import Module, Task
from shared_schemas import comparisons as wire
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db

COMPARISONS = "/api/agents/comparisons/"
MODELS = ["gpt-5-mini", "claude-sonnet-4-6"]


@pytest.fixture
def post(client, user):
    client.force_login(user)

    def send(body, **headers):
        return client.post(COMPARISONS, json.dumps(body), content_type="application/json", headers=headers)

    return send


@pytest.fixture
def module():
    return Module.objects.create(slug="m", title="M", language="python", body="b", published=True)


@pytest.fixture
def compared(agent, user, module):
    """A comparison of two models; the first drafted three tasks, the second failed."""
    agent.tools = [agent_tools.add_tasks.__name__]
    agent.save()
    comparison = comparisons.start(agent=agent.slug, input={"module_id": 1}, models_=MODELS, by=user)
    quick, failed = comparison.runs.order_by("created_at")
    models.Run.objects.filter(pk=quick.pk).update(status=RunStatus.RUNNING, epoch=1)
    quick.refresh_from_db()
    texts = [{"title": f"Task {number}", "text": "Write a function that adds up."} for number in range(3)]
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": texts}, run=quick)
    Task.objects.filter(title="Task 0").update(verified=True, verdict={"passed": True})
    began = timezone.now()
    models.ToolSession.objects.update(created_at=began, revoked_at=began + timedelta(seconds=2.5))
    models.ModelUsage.objects.create(
        run=quick, segment=1, model=MODELS[0], calls=2, input_tokens=100, output_tokens=20, first_token=0.75
    )
    models.Run.objects.filter(pk=quick.pk).update(status=RunStatus.COMPLETED, ended_at=began, cost="0.25")
    models.Run.objects.filter(pk=failed.pk).update(
        status=RunStatus.FAILED, ended_at=began, error_code=ErrorCode.MODEL_FAILED, error_message="No answer."
    )
    return comparison


def figures_of(comparison, user):
    (described,) = selectors.describe([selectors.find(comparison.pk, user=user)])
    return described.results


def test_each_model_gets_a_run_of_its_own(post, agent):
    response = post({"agent": agent.slug, "input": {"module_id": 1}, "models": MODELS})

    created = wire.ComparisonCreated.model_validate_json(response.content)
    runs = models.Run.objects.filter(comparison=created.comparison_id).order_by("created_at")
    assert response.status_code == 202
    assert [(run.pk, run.model, run.input) for run in runs] == [
        (run_id, model, {"module_id": 1}) for run_id, model in zip(created.run_ids, MODELS, strict=True)
    ]
    assert models.OutboxMessage.objects.count() == 2


def test_a_repeated_request_starts_nothing_again(post, agent):
    body = {"agent": agent.slug, "input": {"module_id": 1}, "models": MODELS}

    first, second = (post(body, **{"Idempotency-Key": "k" * 200}) for _ in range(2))

    assert first.json() == second.json()
    assert (models.Comparison.objects.count(), models.Run.objects.count()) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"models": MODELS[:1]}, id="fewer models"),
        pytest.param({"models": [*MODELS, "another"]}, id="more models"),
        pytest.param({"name": "Otherwise"}, id="another name"),
        pytest.param({"input": {"module_id": 2}}, id="another input"),
    ],
)
def test_another_request_under_the_same_key_is_refused_and_starts_nothing(post, agent, change):
    body = {"agent": agent.slug, "input": {"module_id": 1}, "models": MODELS}
    post(body, **{"Idempotency-Key": "compare-1"})

    refused = post(body | change, **{"Idempotency-Key": "compare-1"})

    assert (refused.status_code, refused.json()["code"]) == (422, ErrorCode.IDEMPOTENCY_KEY_REUSED)
    assert (models.Comparison.objects.count(), models.Run.objects.count()) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"models": []}, id="no model"),
        pytest.param({"models": ["a", "a"]}, id="a model twice"),
        pytest.param({"models": [f"m{number}" for number in range(21)]}, id="too many"),
        pytest.param({"agent": "nobody"}, id="unknown agent"),
        pytest.param({"other": 1}, id="unknown field"),
    ],
)
def test_what_cannot_be_compared_starts_nothing(post, agent, change):
    response = post({"agent": agent.slug, "input": {}, "models": MODELS} | change)

    assert response.status_code == 422
    assert not models.Run.objects.exists()
    assert not models.Comparison.objects.exists()


def test_figures_tell_speed_use_money_and_verification(compared, user):
    quick, failed = figures_of(compared, user)

    assert (quick.model, quick.status, quick.seconds, quick.cost) == (MODELS[0], "completed", 2.5, 0.25)
    assert (quick.first_token, failed.first_token) == (0.75, None)
    assert (quick.calls, quick.input_tokens, quick.output_tokens) == (2, 100, 20)
    assert (quick.drafts, quick.verified, quick.verification_rate) == (3, 1, 0.3333)
    assert (failed.status, failed.error.code, failed.drafts) == ("failed", ErrorCode.MODEL_FAILED, 0)


def test_figures_tell_what_people_made_of_the_drafts(compared, user):
    first, second, _ = Task.objects.order_by("pk")
    drafts.review(first, by=user, changes={"text": "Write a function that adds two up."})
    drafts.review(second, by=user, approve=False)

    quick, _ = figures_of(compared, user)

    assert (quick.approved, quick.rejected, quick.approval_rate) == (1, 1, 0.5)
    assert 0.9 < quick.similarity < 1


def test_comparisons_are_read_with_a_fixed_number_of_queries(
    compared, user, agent, django_assert_max_num_queries
):
    for _ in range(4):
        comparisons.start(agent=agent.slug, input={}, models_=MODELS, by=user)

    with django_assert_max_num_queries(8):
        page = selectors.describe(selectors.detailed(selectors.visible_to(user)))

    assert len(page) == 5


def test_a_comparison_is_exported_as_csv(compared, client, user):
    client.force_login(user)

    response = client.get(f"{COMPARISONS}{compared.pk}/figures.csv")

    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [(row["model"], row["drafts"], row["verification_rate"]) for row in rows] == [
        (MODELS[0], "3", "0.3333"),
        (MODELS[1], "0", ""),
    ]


def test_a_model_named_like_a_formula_stays_text_in_a_spreadsheet(agent, user):
    comparison = comparisons.start(agent=agent.slug, input={}, models_=["=1+1"], by=user)
    (described,) = selectors.describe([selectors.find(comparison.pk, user=user)])

    assert "\r\n'=1+1," in selectors.as_csv(described)


@pytest.mark.parametrize("place", ["", "figures.csv"])
def test_another_persons_comparison_does_not_exist(compared, client, make_user, place):
    client.force_login(make_user())

    response = client.get(f"{COMPARISONS}{compared.pk}/{place}")

    assert response.status_code == 404


def test_a_person_lists_their_comparisons(compared, client, user):
    client.force_login(user)

    page = wire.ComparisonPage.model_validate_json(client.get(COMPARISONS).content)

    assert [item.comparison_id for item in page.results] == [compared.pk]
