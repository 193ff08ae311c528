"""Reads how many of the drafts that runs made passed their check."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast

from mandate import models
from mandate.selectors import reviewing, shares


@dataclass(slots=True, kw_only=True)
class Checked:
    """Drafts of some runs."""

    drafts: int = 0
    verified: int | None = None
    """Nothing where no draft has a check."""

    @property
    def rate(self) -> float | None:
        return None if self.verified is None else shares.of(self.verified, self.drafts)


def by(runs: QuerySet[models.Run], *names: str) -> defaultdict[tuple[Any, ...], Checked]:
    """Count what runs made by what their fields of these names hold, in one query for each kind of draft."""
    found: defaultdict[tuple[Any, ...], Checked] = defaultdict(Checked)
    for kind in reviewing.kinds().values():
        for *key, drafts, verified in _of_kind(kind, runs, names):
            checked = found[tuple(key)]
            checked.drafts += drafts
            if kind.verified_field:
                checked.verified = (checked.verified or 0) + verified
    return found


def _of_kind(
    kind: type[models.AgentOwned], runs: QuerySet[models.Run], names: tuple[str, ...]
) -> QuerySet[Any, Any]:
    """Group the calls that touched a record first, as far as the record is still there and of the run's agent."""
    links = models.ToolCallLink.objects.filter(content_type=ContentType.objects.get_for_model(kind))
    first = links.order_by("object_id", "tool_call__created_at").distinct("object_id")
    key = Cast(OuterRef("object_id"), kind._meta.pk)  # noqa: SLF001 - Django's documented API
    record = kind._default_manager.filter(pk=key)  # noqa: SLF001 - Django's public name
    made = links.filter(pk__in=first.values("pk"), tool_call__run__in=runs.order_by().values("pk")).annotate(
        maker=Subquery(record.values("ai_user")),
        passed=Subquery(record.values(kind.verified_field or "pk")),
    )
    passed = Q(passed=True) if kind.verified_field else Q(pk=None)
    fields = [f"tool_call__run__{name}" for name in names]
    return (
        made.filter(maker=F("tool_call__run__agent__user"))
        .order_by()
        .values_list(*fields)
        .annotate(drafts=Count("pk"), verified=Count("pk", filter=passed))
    )
