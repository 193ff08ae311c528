"""Reads how the whole of it is going, for those who keep it going."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from mandate import models
from mandate.models.run import ACTIVE, ENDED
from shared_schemas.runs import RunStatus

PERMISSIONS = ("mandate.view_run", "mandate.view_outboxmessage")

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_Message = models.OutboxMessage.Status

UNDELIVERED = (_Message.PENDING, _Message.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Runs that ended within some time."""

    completed: int
    failed: int
    cancelled: int

    @property
    def failure_rate(self) -> float | None:
        """Return the share that failed of those nobody cancelled; nothing where there is none."""
        done = self.completed + self.failed
        return self.failed / done if done else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an operator looks at first."""

    at: datetime
    waiting: int
    """Runs that no worker has taken up yet."""

    oldest_waiting: datetime | None
    running: int
    parked: int
    """Runs that wait for a person."""

    last_hour: Ended
    last_day: Ended
    spent_today: Decimal
    """What the runs cost that ended since midnight in the server's zone; of unknown prices, nothing."""

    unpriced_today: int
    """How many of those have no known price."""

    messages: int
    """To be delivered yet."""

    oldest_message: datetime | None
    retried: int
    """Messages among them that were tried in vain before."""

    dead: int
    """Messages that were given up."""

    approvals: int
    oldest_approval: datetime | None
    next_expiry: datetime | None

    @property
    def ended(self) -> list[tuple[str, Ended]]:
        """Return what ended, by how long ago at most."""
        return [("Within the last hour", self.last_hour), ("Within the last day", self.last_day)]


def figures(*, now: datetime | None = None) -> Figures:
    """Count everything, in four queries however much there is."""
    moment = now or timezone.now()
    return Figures(at=moment, **_open(), **_ended(moment), **_messages(), **_approvals())


def _open() -> dict[str, Any]:
    rows = (
        models.Run.objects.filter(status__in=ACTIVE)
        .order_by()
        .values("status")
        .annotate(count=Count("pk"), oldest=Min("updated_at"))
    )
    by_status: dict[str, Any] = {row["status"]: row for row in rows}
    none = {"count": 0, "oldest": None}
    waiting = by_status.get(RunStatus.PENDING, none)
    return {
        "waiting": waiting["count"],
        "oldest_waiting": waiting["oldest"],
        "running": by_status.get(RunStatus.RUNNING, none)["count"],
        "parked": by_status.get(RunStatus.AWAITING_APPROVAL, none)["count"],
    }


def _ended(now: datetime) -> dict[str, Any]:
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    hour, today = Q(ended_at__gt=now - _HOUR), Q(ended_at__gte=midnight)
    counts: dict[str, Any] = {
        f"{name}_{status.value}": Count("pk", filter=within & Q(status=status))
        for name, within in (("hour", hour), ("day", Q(ended_at__gt=now - _DAY)))
        for status in ENDED
    }
    found = models.Run.objects.filter(ended_at__gt=min(now - _DAY, midnight)).aggregate(
        **counts,
        spent=Sum("cost", filter=today),
        unpriced=Count("pk", filter=today & Q(cost=None)),
    )
    return {
        "last_hour": _of(found, "hour"),
        "last_day": _of(found, "day"),
        "spent_today": found["spent"] or Decimal(0),
        "unpriced_today": found["unpriced"],
    }


def _of(found: Mapping[str, int], name: str) -> Ended:
    return Ended(
        completed=found[f"{name}_completed"],
        failed=found[f"{name}_failed"],
        cancelled=found[f"{name}_cancelled"],
    )


def _messages() -> dict[str, Any]:
    undelivered = models.OutboxMessage.objects.filter(status__in=UNDELIVERED).order_by()
    pending = Q(status=_Message.PENDING)
    return undelivered.aggregate(
        messages=Count("pk", filter=pending),
        oldest_message=Min("created_at", filter=pending),
        retried=Count("pk", filter=pending & Q(attempts__gt=0)),
        dead=Count("pk", filter=Q(status=_Message.DEAD)),
    )


def _approvals() -> dict[str, Any]:
    pending = models.Approval.objects.filter(status=models.Approval.Status.PENDING).order_by()
    return pending.aggregate(
        approvals=Count("pk"), oldest_approval=Min("created_at"), next_expiry=Min("expires_at")
    )
