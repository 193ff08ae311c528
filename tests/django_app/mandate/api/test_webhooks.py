import pytest

from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db

ADDRESS = "/api/agents/webhooks/"


@pytest.fixture
def send(client):
    def post(headers, body):
        return client.post(ADDRESS, body, content_type="application/json", headers=headers)

    return post


@pytest.fixture
def finished(submitted, agent_service):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})
    return run, agent_service.webhook(fake_run)


def test_a_webhook_is_answered_well_each_time_it_comes(send, finished):
    run, webhook = finished

    answers = [send(*webhook).status_code for _ in range(3)]

    run.refresh_from_db()
    assert answers == [200, 200, 200]
    assert run.status == RunStatus.COMPLETED


def test_a_webhook_is_asked_for_again_while_its_run_cannot_be_pulled(
    send, finished, agent_service, problem_of
):
    _, webhook = finished
    agent_service.refusing = (503, ErrorCode.UNAVAILABLE)

    response = send(*webhook)

    assert problem_of(response) == (503, ErrorCode.UNAVAILABLE)
    assert response["Retry-After"]


def test_a_forged_webhook_is_a_problem(send, finished, problem_of):
    _, (headers, body) = finished

    response = send(headers, body + b" ")

    assert problem_of(response) == (401, ErrorCode.SIGNATURE_INVALID)


def test_a_large_webhook_is_not_read(send, finished, problem_of):
    _, (headers, _) = finished

    response = send(headers, b" " * 70_000)

    assert problem_of(response) == (413, ErrorCode.BODY_TOO_LARGE)
