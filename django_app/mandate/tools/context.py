"""What a tool knows about the call it answers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.db import models as django_models

from mandate.models import owned

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

Owned = TypeVar("Owned", bound=owned.AgentOwned)


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

    touched: list[django_models.Model] = field(default_factory=list, repr=False)

    def owned(self, model: type[Owned]) -> django_models.QuerySet[Owned]:
        """Return the records of `model` that the agent's account may see: those it made itself."""
        return model._default_manager.filter(ai_user=self.agent_user)  # noqa: SLF001 - Django's public name

    def link(self, *records: django_models.Model) -> None:
        """Note which records the call touched; the ledger keeps the links."""
        self.touched.extend(records)
