"""Reads agents: who may start them, what their graphs take, and what their runs have cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.db.models import Case, Count, Exists, IntegerField, OuterRef, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from mandate import agent_client, models
from mandate.selectors import catalogue
from mandate.tools import choosing
from shared_schemas.runs import RunStatus

SCHEMA_KEPT = 300
"""Seconds that a graph's schema is taken from the cache."""

_NUMBER = "^[1-9][0-9]{0,5}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualCost:
    """What runs of one agent with one model cost on average."""

    each: Decimal
    """For one of what the agent makes, where the project says that the cost grows with a number; else of a run."""

    runs: int
    """How many finished runs tell it; none, where it is the model's price of what other models used."""


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


def usual_costs(agent: models.Agent, schema: Mapping[str, Any]) -> dict[str, UsualCost]:
    """Return what the agent's finished runs cost, by model; `schema` is that of its input.

    Of a model that has a price and no finished run, it is that of the tokens which other models used.
    """
    done = models.Run.objects.filter(agent=agent, status=RunStatus.COMPLETED).order_by()
    sized = done.annotate(size=_size(agent, schema))
    rows = (
        sized.filter(cost__isnull=False).values_list("model").annotate(Sum("cost"), Sum("size"), Count("pk"))
    )
    known = {model: UsualCost(each=cost / size, runs=runs) for model, cost, size, runs in rows}
    told = sized.filter(Exists(models.ModelUsage.objects.filter(run=OuterRef("pk"))))
    return _by_price(done, made=told.aggregate(Sum("size"))["size__sum"]) | known


def _by_price(done: QuerySet[models.Run], *, made: int | None) -> dict[str, UsualCost]:
    tokens = models.ModelUsage.objects.filter(run__in=done.values("pk")).aggregate(
        input_tokens=Sum("input_tokens"), output_tokens=Sum("output_tokens")
    )
    if not made or tokens["input_tokens"] is None:
        return {}
    prices = catalogue.prices()
    return {model: UsualCost(each=price.of(**tokens) / made, runs=0) for model, price in prices.items()}


def _size(agent: models.Agent, schema: Mapping[str, Any]) -> Case | Value:
    field = choosing.size_of(agent.graph)
    if field is None:
        return Value(1)
    asked = When(
        **{f"input__{field}__regex": _NUMBER},
        then=Cast(KeyTextTransform(field, "input"), IntegerField()),
    )
    usual = schema.get("properties", {}).get(field, {}).get("default")
    return Case(asked, default=Value(usual if isinstance(usual, int) and usual > 0 else 1))
