"""Makes agents, each with an account of its own."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from mandate import exceptions, models
from mandate.tools import registry
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Limits

URGENT = 100
"""The highest priority; the lowest is its negative."""


@transaction.atomic
def ensure(
    slug: str,
    *,
    graph: str,
    default_model: str,
    name: str | None = None,
    description: str = "",
    tools: Sequence[str] = (),
    limits: Limits | None = None,
    start_permission: str = "",
    priority: int = 0,
) -> models.Agent:
    """Create an agent with its account, or bring an existing one up to date.

    Raises:
        RequestRefused: UNKNOWN_TOOL, one of the tools is not declared.
    """
    if unknown := sorted(set(tools) - set(registry.declared())):
        raise exceptions.RequestRefused(ErrorCode.UNKNOWN_TOOL, f"No app declares the tools {unknown}.")
    fields: dict[str, Any] = {
        "name": name or slug,
        "description": description,
        "graph": graph,
        "default_model": default_model,
        "tools": list(tools),
        "start_permission": start_permission,
        "priority": priority,
        "limits": (limits or Limits()).model_dump(mode="json", exclude_none=True),
    }
    agent, _ = models.Agent.objects.update_or_create(
        slug=slug, defaults=fields, create_defaults=fields | {"user": account(slug)}
    )
    return agent


def set_paused(agents: Sequence[models.Agent], *, paused: bool) -> None:
    """Stop agents from starting runs and calling tools, or let them again."""
    models.Agent.objects.filter(pk__in=[agent.pk for agent in agents]).update(is_paused=paused)


def account(slug: str) -> Any:
    """Return the account that an agent's tools act as; nobody can log in with it."""
    accounts = get_user_model()
    named: dict[str, Any] = {accounts.USERNAME_FIELD: f"agent-{slug}"}
    account, created = accounts._default_manager.get_or_create(**named)  # noqa: SLF001 - Django's public name
    if created:
        account.set_unusable_password()
        account.save()
    return account
