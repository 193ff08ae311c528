"""What a tool knows about the call it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.db import models as django_models
from pydantic import JsonValue

from mandate.models import owned
from mandate.tools import scopes, topics
from shared_schemas import json_values

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

Owned = TypeVar("Owned", bound=owned.AgentOwned)
Record = TypeVar("Record", bound=django_models.Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that a tool wants delivered once its call has committed."""

    topic: str
    payload: dict[str, JsonValue]


class NothingToSendForError(RuntimeError):
    """A tool that only reads has no effects, outside or inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Who calls, for whom, in which run."""

    run_id: UUID
    agent_user: "AbstractBaseUser"
    """The agent's own account; what the tool does is done as this user."""

    acting_for: "AbstractBaseUser"
    """The person the run was started by."""

    approved_by: "AbstractBaseUser | None" = None
    """The person whose approval this call runs in, for a tool that needs one."""

    key: str | None = None
    """The call's idempotency key, to pass on to systems outside the database; a read has none."""

    undone_by: "AbstractBaseUser | None" = None
    """The person who takes the call back, for the function that undoes it."""

    records: scopes.Scopes = field(default_factory=dict, repr=False)
    """What this tool may see of some models, where its declaration says so."""

    touched: list[django_models.Model] = field(default_factory=list, repr=False)
    outgoing: list[Outgoing] = field(default_factory=list, repr=False)

    def owned(self, model: type[Owned]) -> django_models.QuerySet[Owned]:
        """Return the records of `model` that the agent's account may see: those it made itself."""
        return model._default_manager.filter(ai_user=self.agent_user)  # noqa: SLF001 - Django's public name

    def visible(self, model: type[Record]) -> django_models.QuerySet[Record]:
        """Return the records of `model` that the agent may see: what ids in arguments are looked up in.

        That is what the tool's declaration says, else `tools.records`, else what the agent made itself.

        Raises:
            NoScopeError: nobody said it.
        """
        scope = self.records.get(model) or scopes.declared().get(model)
        if scope is not None:
            return scope(self)
        if issubclass(model, owned.AgentOwned):
            return self.owned(model)
        raise scopes.NoScopeError(f"Say which records of {model.__name__} agents may see: `tools.records`.")

    def link(self, *records: django_models.Model) -> None:
        """Note which records the call touched; the ledger keeps the links."""
        self.touched.extend(records)

    def outbox(self, topic: str, payload: Mapping[str, JsonValue]) -> None:
        """Have a message delivered to a system outside, if and after this call commits.

        It is delivered at least once, always with the same key, which is made of the call's own.

        Raises:
            UnknownTopicError: no function delivers the topic.
            NothingToSendForError: the tool only reads.
            UnstorableValueError: the payload cannot be kept.
        """
        topics.named(topic)
        if self.key is None:
            raise NothingToSendForError(f"A tool that only reads cannot send {topic!r}.")
        json_values.check_storable(payload)
        self.outgoing.append(Outgoing(topic=topic, payload=dict(payload)))
