"""Reads how good agents' drafts were, in the eyes of the people who reviewed them."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from mandate import models
from shared_schemas import quality

_Status = models.DraftReview.Status
_APPROVED = Q(status=_Status.APPROVED)

SUMS: dict[str, Any] = {
    "approved": Count("pk", filter=_APPROVED),
    "rejected": Count("pk", filter=Q(status=_Status.REJECTED)),
    "both": Sum(F("drafted_characters") + F("published_characters"), filter=_APPROVED),
    "kept": Sum("kept_characters", filter=_APPROVED),
}
"""What reviews add up to: annotations of a grouped queryset, which `similarity` reads."""


def figures(agent: models.Agent | None = None) -> list[quality.Quality]:
    """Sum the decided reviews up by agent and model."""
    decided: QuerySet[models.DraftReview] = models.DraftReview.objects.exclude(status=_Status.OPEN)
    if agent is not None:
        decided = decided.filter(agent=agent)
    rows: Any = (  # the stubs do not know what a dictionary of annotations adds
        decided.values("agent__slug", "model")
        .annotate(
            **SUMS,
            reviews=Count("pk"),
            unchanged=Count("pk", filter=Q(status=_Status.APPROVED, difference={})),
        )
        .order_by("agent__slug", "model")
    )
    return [
        quality.Quality(
            agent=row["agent__slug"],
            model=row["model"] or None,
            reviews=row["reviews"],
            approved=row["approved"],
            rejected=row["rejected"],
            unchanged=row["unchanged"],
            similarity=similarity(row),
        )
        for row in rows
    ]


def similarity(sums: Mapping[str, Any]) -> float | None:
    """Return how much the approved drafts and what was published share; nothing where there is none."""
    both = sums.get("both")
    return round(2 * sums["kept"] / both, 4) if both else None
