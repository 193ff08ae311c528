"""The topics that a project delivers: who carries an effect to a system outside the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mandate import models

Deliver = Callable[[models.OutboxMessage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Who delivers a kind of message."""

    deliver: Deliver
    give_up: Deliver
    """What a message that cannot be delivered means for the data it is about."""


class UnknownTopicError(LookupError):
    """No function delivers a topic. Declare one with `tools.topic` in an app's `agent_tools` module."""


_topics: dict[str, Topic] = {}


def topic(name: str, *, give_up: Deliver = lambda _: None) -> Callable[[Deliver], Deliver]:
    """Declare who delivers the messages of a topic.

    The function runs inside the transaction that marks the message as delivered, and may run again for a
    message that the other system has seen already: `message.key` is the same each time. It raises
    `NotDelivered` to be called again later.
    """

    def declare(deliver: Deliver) -> Deliver:
        _topics[name] = Topic(deliver=deliver, give_up=give_up)
        return deliver

    return declare


def named(name: str) -> Topic:
    """Return a declared topic.

    Raises:
        UnknownTopicError: nobody declared it.
    """
    if name not in _topics:
        raise UnknownTopicError(f"No function delivers the topic {name!r}.")
    return _topics[name]


def declared() -> Mapping[str, Topic]:
    """Return all topics by name."""
    return MappingProxyType(_topics)


def forget(name: str) -> None:
    """Take a topic away, for tests that declare their own."""
    del _topics[name]
