"""Receives the agent service's webhooks: each is applied once."""

from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone
from pydantic import ValidationError

from mandate import agent_client, conf, exceptions, models
from mandate.services import outcomes
from shared_schemas import crashing, signatures, webhooks
from shared_schemas.problems import ErrorCode

_MAX_ID_LENGTH = 200
"""Of `WebhookReceipt.webhook_id`."""


def receive(headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> bool:
    """Apply a webhook, and return whether it was the first of its id.

    Raises:
        RequestRefused: SIGNATURE_INVALID, INVALID_REQUEST.
        DeliveryFailed: the agent service could not be asked about the run; the same webhook may come again.
    """
    webhook_id = headers.get(signatures.ID_HEADER, "")
    _check_signature(headers, body, webhook_id=webhook_id, now=now or timezone.now())
    message = _read(body)
    if models.WebhookReceipt.objects.filter(webhook_id=webhook_id).exists():
        return False
    # Pulled before the transaction, which waits for no network.
    run = _run_named(message.data)
    outcome = agent_client.pull(run, message.data.run_id) if run else None
    crashing.point("webhook.before_apply")
    try:
        with transaction.atomic():
            models.WebhookReceipt.objects.create(
                webhook_id=webhook_id, type=message.type, run=run, body=message.model_dump(mode="json")
            )
            if run and outcome:
                outcomes.apply(run.pk, outcome)
            crashing.point("webhook.before_commit")
    except IntegrityError:
        if models.WebhookReceipt.objects.filter(webhook_id=webhook_id).exists():
            return False
        raise
    crashing.point("webhook.after_commit")
    return True


def _run_named(data: webhooks.RunEnded) -> models.Run | None:
    if data.mandate_run is None:
        return None
    return models.Run.objects.select_related("started_by").filter(pk=data.mandate_run).first()


def _check_signature(headers: Mapping[str, str], body: bytes, *, webhook_id: str, now: datetime) -> None:
    if not 0 < len(webhook_id) <= _MAX_ID_LENGTH:
        raise exceptions.RequestRefused(
            ErrorCode.SIGNATURE_INVALID, "The header webhook-id is missing or too long."
        )
    try:
        signatures.verify(
            conf.settings().trusted_keys,
            message_id=webhook_id,
            timestamp=headers.get(signatures.TIMESTAMP_HEADER, ""),
            signature=headers.get(signatures.SIGNATURE_HEADER, ""),
            body=body,
            now=now,
        )
    except signatures.InvalidSignatureError as error:
        raise exceptions.RequestRefused(ErrorCode.SIGNATURE_INVALID, str(error)) from None


def _read(body: bytes) -> webhooks.Webhook:
    try:
        return webhooks.Webhook.model_validate_json(body)
    except ValidationError:
        raise exceptions.RequestRefused(
            ErrorCode.INVALID_REQUEST, "The body is not a webhook of the agent service."
        ) from None
