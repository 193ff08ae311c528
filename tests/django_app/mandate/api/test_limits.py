import json

import pytest

from mandate import models
from mandate.services import agents
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Limits

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(start, agent):
    limits = Limits(writes=5)
    agents.ensure(agent.slug, graph="practice_author", default_model="gpt-5-mini", limits=limits)
    return start(limits=Limits(writes=1))


@pytest.fixture
def post(client, user):
    def send(run, body, *, by=user):
        client.force_login(by)
        url = f"/api/agents/runs/{run.pk}/limits/"
        return client.post(url, json.dumps(body), content_type="application/json")

    return send


def test_a_person_raises_a_limit_of_their_run(post, run, user):
    response = post(run, {"writes": 5})

    assert (response.status_code, response.json()["limits"]["writes"]) == (200, 5)
    assert models.RunNote.objects.get(kind="limits_raised").by == user


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"writes": 6}, id="wider than the agent's"),
        pytest.param({}, id="nothing"),
        pytest.param({"wishes": 3}, id="unknown"),
        pytest.param({"calls_per_tool": {"add": -1}}, id="negative"),
    ],
)
def test_a_change_that_cannot_be_is_refused(post, run, problem_of, body):
    assert problem_of(post(run, body)) == (422, ErrorCode.INVALID_REQUEST)


def test_nobody_raises_the_limits_of_somebody_elses_run(post, run, make_user, problem_of):
    assert problem_of(post(run, {"writes": 2}, by=make_user())) == (404, ErrorCode.NOT_FOUND)
