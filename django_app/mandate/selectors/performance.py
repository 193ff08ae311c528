"""Reads how models did over all runs, of each agent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db.models import Avg, Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from mandate import models
from mandate.selectors import drafts, runs
from shared_schemas.runs import RunStatus

_Key = tuple[int, str]
"""An agent's primary key, and a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """What the runs of one agent with one model came to."""

    agent_id: int
    agent: str
    model: str
    runs: int
    completed: int
    failed: int
    seconds: float | None
    """That workers had a run which ended, on average."""

    first_token: float | None
    """Seconds until the first piece of a run's first answer, on average, where it was streamed."""

    tokens: int | None
    """In and out, of a run, on average."""

    cost: Decimal | None
    """Of a run on average; runs without a known price do not count."""

    approved: int
    rejected: int
    similarity: float | None

    @property
    def completion_rate(self) -> float | None:
        """Return the share of the runs that completed, of those which nobody cancelled and which are over."""
        return self._share(self.completed, self.failed)

    @property
    def approval_rate(self) -> float | None:
        """Return the share of the decided drafts that people approved."""
        return self._share(self.approved, self.rejected)

    @staticmethod
    def _share(good: int, bad: int) -> float | None:
        return good / (good + bad) if good + bad else None


def by_model(user: AbstractUser, *, agent: str = "", since: date | None = None) -> list[ModelFigures]:
    """Return the figures of the runs that a person may see, by agent and model, in four queries."""
    seen = runs.visible_to(user).order_by()
    if agent:
        seen = seen.filter(agent__slug=agent)
    if since:
        seen = seen.filter(created_at__date__gte=since)
    held, used, reviewed = _held(seen), _used(seen), _reviewed(seen)
    rows = (
        seen.values("agent_id", "agent__name", "model")
        .annotate(
            count=Count("pk"),
            completed=Count("pk", filter=Q(status=RunStatus.COMPLETED)),
            failed=Count("pk", filter=Q(status=RunStatus.FAILED)),
            average=Avg("cost"),
        )
        .order_by("agent__name", "agent_id", "model")
    )
    keyed = {(row["agent_id"], row["model"]): row for row in rows}
    return [
        _figures(row, held.get(key, {}), used.get(key, {}), reviewed.get(key, {}))
        for key, row in keyed.items()
    ]


def _figures(
    row: Mapping[str, Any],
    held: Mapping[str, Any],
    used: Mapping[str, Any],
    reviewed: Mapping[str, Any],
) -> ModelFigures:
    total: timedelta | None = held.get("total")
    return ModelFigures(
        agent_id=row["agent_id"],
        agent=row["agent__name"],
        model=row["model"],
        runs=row["count"],
        completed=row["completed"],
        failed=row["failed"],
        seconds=None if total is None else max(total.total_seconds(), 0) / held["count"],
        first_token=used.get("first"),
        tokens=round(used["tokens"] / used["count"]) if used.get("count") else None,
        cost=row["average"],
        approved=reviewed.get("approved", 0),
        rejected=reviewed.get("rejected", 0),
        similarity=drafts.similarity(reviewed),
    )


def _held(seen: QuerySet[models.Run]) -> dict[_Key, dict[str, Any]]:
    length = Coalesce(F("revoked_at"), F("run__ended_at")) - F("created_at")
    sessions = models.ToolSession.objects.filter(run__in=seen.exclude(ended_at=None).values("pk"))
    return _grouped(sessions, total=Sum(length), count=Count("run", distinct=True))


def _used(seen: QuerySet[models.Run]) -> dict[_Key, dict[str, Any]]:
    usage = models.ModelUsage.objects.filter(run__in=seen.values("pk"))
    return _grouped(
        usage,
        tokens=Sum(F("input_tokens") + F("output_tokens")),
        count=Count("run", distinct=True),
        first=Avg("first_token", filter=Q(segment=1)),
    )


def _reviewed(seen: QuerySet[models.Run]) -> dict[_Key, dict[str, Any]]:
    return _grouped(models.DraftReview.objects.filter(run__in=seen.values("pk")), **drafts.SUMS)


def _grouped(rows: QuerySet[Any], **sums: Any) -> dict[_Key, dict[str, Any]]:
    """Add up by the agent and the model of the runs that the rows belong to."""
    found = rows.order_by().values("run__agent_id", "run__model").annotate(**sums)
    return {(row["run__agent_id"], row["run__model"]): row for row in found}
