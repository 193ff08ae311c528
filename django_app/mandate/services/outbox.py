"""Messages to other systems, written in the transaction they are about and delivered after it.

A project delivers its own by declaring a topic:

    @outbox.topic("mail.welcome")
    def send_welcome(message: models.OutboxMessage) -> None: ...

The function runs inside the transaction that marks the message as delivered. It raises `DeliveryFailed` to be
called again later. The other system may see one message twice, always with the same `message.key`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from mandate import models, notifications

Deliver = Callable[[models.OutboxMessage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Who delivers a kind of message."""

    deliver: Deliver
    give_up: Deliver
    """What a message that cannot be delivered means for the data it is about."""


class UnknownTopicError(LookupError):
    """No function delivers a message's topic. Declare one with `outbox.topic` where Django loads it."""


_topics: dict[str, Topic] = {}


def topic(name: str, *, give_up: Deliver = lambda _: None) -> Callable[[Deliver], Deliver]:
    """Declare who delivers the messages of a topic."""

    def declare(deliver: Deliver) -> Deliver:
        _topics[name] = Topic(deliver=deliver, give_up=give_up)
        return deliver

    return declare


def deliver(message: models.OutboxMessage) -> None:
    """Deliver a message by the function of its topic.

    Raises:
        UnknownTopicError: nobody declared the topic.
        DeliveryFailed: it was not delivered now.
    """
    if message.topic not in _topics:
        raise UnknownTopicError(f"No function delivers the topic {message.topic!r}.")
    _topics[message.topic].deliver(message)


def give_up(message: models.OutboxMessage) -> None:
    """Tell the data that a message is about that it will not be delivered."""
    if message.topic in _topics:
        _topics[message.topic].give_up(message)


def write(
    topic: str, *, key: str, payload: dict[str, Any], run: models.Run | None = None
) -> models.OutboxMessage:
    """Keep a message with the current transaction; a dispatcher is woken when it commits."""
    message = models.OutboxMessage.objects.create(topic=topic, key=key, payload=payload, run=run)
    notifications.notify(notifications.OUTBOX)
    return message


def redeliver(message: models.OutboxMessage) -> None:
    """Have a message delivered again from the first attempt on."""
    models.OutboxMessage.objects.filter(pk=message.pk).update(
        payload=message.payload,
        status=models.OutboxMessage.Status.PENDING,
        attempts=0,
        next_attempt_at=timezone.now(),
        delivered_at=None,
    )
    notifications.notify(notifications.OUTBOX)
