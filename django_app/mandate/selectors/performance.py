"""Reads how models did over all runs, of each agent."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db.models import Avg, Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from mandate import models
from mandate.selectors import days, drafts, runs, shares, verification
from shared_schemas import figures as wire
from shared_schemas.runs import RunStatus

_Key = tuple[int, str]
"""An agent's primary key, and a model."""


def by_model(user: AbstractUser, *, agent: str = "", since: date | None = None) -> list[wire.ModelFigures]:
    """Return the figures of the runs that a person may see, by agent and model.

    It takes four queries, and one for each kind of draft.
    """
    seen = runs.visible_to(user).order_by()
    if "\0" in agent:
        # PostgreSQL keeps no such text, and takes none.
        return []
    if agent:
        seen = seen.filter(agent__slug=agent)
    if since:
        seen = seen.filter(created_at__gte=days.start(since))
    held, used, reviewed = _held(seen), _used(seen), _reviewed(seen)
    checked = verification.by(seen, "agent_id", "model")
    rows = (
        seen.values("agent_id", "agent__slug", "agent__name", "model")
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
        _figures(row, held.get(key, {}), used.get(key, {}), reviewed.get(key, {}), checked[key])
        for key, row in keyed.items()
    ]


def _figures(
    row: Mapping[str, Any],
    held: Mapping[str, Any],
    used: Mapping[str, Any],
    reviewed: Mapping[str, Any],
    checked: verification.Checked,
) -> wire.ModelFigures:
    total: timedelta | None = held.get("total")
    approved, rejected = reviewed.get("approved", 0), reviewed.get("rejected", 0)
    return wire.ModelFigures(
        agent=row["agent__slug"],
        agent_id=row["agent_id"],
        agent_name=row["agent__name"],
        model=row["model"],
        runs=row["count"],
        completed=row["completed"],
        failed=row["failed"],
        completion_rate=shares.of(row["completed"], row["completed"] + row["failed"]),
        seconds=None if total is None else max(total.total_seconds(), 0) / held["count"],
        first_token=used.get("first"),
        tokens=round(used["tokens"] / used["count"]) if used.get("count") else None,
        cost=row["average"],
        drafts=checked.drafts,
        verified=checked.verified,
        verification_rate=checked.rate,
        approved=approved,
        rejected=rejected,
        approval_rate=shares.of(approved, approved + rejected),
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
