from datetime import UTC, datetime, timedelta

import pytest

from mandate import exceptions, models
from mandate.services import webhooks
from shared_schemas import keys, signatures
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def finished(submitted, agent_service):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})
    return run, fake_run


def test_a_webhook_is_applied_once(finished, agent_service):
    run, fake_run = finished
    headers, body = agent_service.webhook(fake_run)

    answers = [webhooks.receive(headers, body) for _ in range(2)]

    assert answers == [True, False]
    assert models.WebhookReceipt.objects.get().run == run


def test_a_webhook_whose_run_cannot_be_pulled_leaves_no_trace(finished, agent_service):
    run, fake_run = finished
    headers, body = agent_service.webhook(fake_run)
    agent_service.refusing = (503, ErrorCode.UNAVAILABLE)

    with pytest.raises(exceptions.DeliveryFailed):
        webhooks.receive(headers, body)

    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
    assert not models.WebhookReceipt.objects.exists()


def test_a_webhook_about_a_run_that_is_gone_is_received(finished, agent_service):
    run, fake_run = finished
    headers, body = agent_service.webhook(fake_run)
    run.delete()

    first = webhooks.receive(headers, body)

    assert first
    assert models.WebhookReceipt.objects.get().run is None


def _altered_body(headers, body):
    return headers, body.replace(b"success", b"timeout")


def _without(name):
    return lambda headers, body: ({key: headers[key] for key in headers if key != name}, body)


def _by_a_stranger(headers, body):
    key = keys.parse_signing(keys.generate())
    return signatures.sign(key, message_id=headers["webhook-id"], sent_at=datetime.now(UTC), body=body), body


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(_altered_body, id="other body"),
        pytest.param(_without("webhook-id"), id="no id"),
        pytest.param(_without("webhook-timestamp"), id="no timestamp"),
        pytest.param(_without("webhook-signature"), id="no signature"),
        pytest.param(_by_a_stranger, id="untrusted key"),
    ],
)
def test_a_forged_webhook_is_refused(finished, agent_service, forge):
    run, fake_run = finished

    with pytest.raises(exceptions.RequestRefused) as refusal:
        webhooks.receive(*forge(*agent_service.webhook(fake_run)))

    run.refresh_from_db()
    assert refusal.value.code == ErrorCode.SIGNATURE_INVALID
    assert run.status == RunStatus.PENDING


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_webhook_of_another_time_is_refused(finished, agent_service, minutes):
    _, fake_run = finished
    headers, body = agent_service.webhook(fake_run, at=datetime.now(UTC) + timedelta(minutes=minutes))

    with pytest.raises(exceptions.RequestRefused) as refusal:
        webhooks.receive(headers, body)

    assert refusal.value.code == ErrorCode.SIGNATURE_INVALID
