"""Messages to other systems, written in the transaction they are about and delivered after it."""

import contextlib
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from mandate import conf, models, notifications
from mandate.tools import context as tool_context
from mandate.tools import topics

topic = topics.topic


def deliver(message: models.OutboxMessage) -> None:
    """Deliver a message by the function of its topic.

    Raises:
        UnknownTopicError: nobody declared the topic.
        DeliveryFailed: it was not delivered now.
    """
    topics.named(message.topic).deliver(message)


def give_up(message: models.OutboxMessage) -> None:
    """Tell the data that a message is about that it will not be delivered."""
    with contextlib.suppress(topics.UnknownTopicError):
        topics.named(message.topic).give_up(message)


def write(
    topic: str, *, key: str, payload: dict[str, Any], run: models.Run | None = None
) -> models.OutboxMessage:
    """Keep a message with the current transaction; a dispatcher is woken when it commits."""
    message = models.OutboxMessage.objects.create(topic=topic, key=key, payload=payload, run=run)
    _wake()
    return message


def send(call: models.ToolCall, context: tool_context.Context, *, step: str = "") -> None:
    """Keep what a call wants delivered; each message's key is made of the call's, and stays the same."""
    if not context.outgoing:
        return
    # Without a run: what a system outside does not take must not hold up the run's own messages.
    models.OutboxMessage.objects.bulk_create(
        models.OutboxMessage(
            topic=wanted.topic,
            key=f"{call.run_id}:{call.key}:{step}{number}",
            payload=wanted.payload,
            tool_call=call,
        )
        for number, wanted in enumerate(context.outgoing, start=1)
    )
    _wake()


def redeliver(message: models.OutboxMessage) -> None:
    """Have a message delivered again from the first attempt on."""
    models.OutboxMessage.objects.filter(pk=message.pk).update(
        payload=message.payload,
        status=models.OutboxMessage.Status.PENDING,
        attempts=0,
        next_attempt_at=timezone.now(),
        delivered_at=None,
    )
    _wake()


def _wake() -> None:
    """Wake dispatchers, or the project's own queue, once the transaction has committed."""
    notifications.notify(notifications.OUTBOX)
    if path := conf.settings().on_message:
        # A queue that is away is no reason to fail what has committed: its schedule finds the message.
        transaction.on_commit(import_string(path), robust=True)
