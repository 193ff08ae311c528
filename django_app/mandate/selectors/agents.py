"""Reads agents: who may start them, what their graphs take, and what their runs have cost."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.db.models import Avg, Count

from mandate import agent_client, models
from shared_schemas.runs import RunStatus

SCHEMA_KEPT = 300
"""Seconds that a graph's schema is taken from the cache."""


@dataclass(frozen=True, slots=True)
class UsualCost:
    """What finished runs of one agent with one model cost on average."""

    average: Decimal
    runs: int


def may_start(agent: models.Agent, user: AbstractUser) -> bool:
    """Tell whether a user may start an agent; a record's permission counts as the agent's own."""
    needed = agent.start_permission
    return not needed or user.has_perm(needed) or user.has_perm(needed, agent)


def startable_by(user: AbstractUser) -> list[models.Agent]:
    """Return the agents that a user may start, paused ones too."""
    return [agent for agent in models.Agent.objects.all() if may_start(agent, user)]


def input_schema(agent: models.Agent, *, by: AbstractUser) -> dict[str, Any]:
    """Return the JSON schema of what the agent's graph takes.

    Raises:
        DeliveryFailed: the agent service does not say.
    """
    key = f"mandate-input-schema:{agent.graph}"
    schema: dict[str, Any] | None = cache.get(key)
    if schema is None:
        schema = agent_client.input_schema(agent.graph, by=by)
        cache.set(key, schema, SCHEMA_KEPT)
    return schema


def usual_costs(agent: models.Agent) -> dict[str, UsualCost]:
    """Return what the agent's finished runs cost, by model."""
    done = models.Run.objects.filter(agent=agent, status=RunStatus.COMPLETED, cost__isnull=False)
    found = done.order_by().values_list("model").annotate(Avg("cost"), Count("pk"))
    return {model: UsualCost(average, runs) for model, average, runs in found}
