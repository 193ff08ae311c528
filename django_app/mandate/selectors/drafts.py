"""Reads how good agents' drafts were, in the eyes of the people who reviewed them."""

from django.db.models import Count, F, Q, QuerySet, Sum

from mandate import models
from shared_schemas import quality

_Status = models.DraftReview.Status


def figures(agent: models.Agent | None = None) -> list[quality.Quality]:
    """Sum the decided reviews up by agent and model."""
    decided: QuerySet[models.DraftReview] = models.DraftReview.objects.exclude(status=_Status.OPEN)
    if agent is not None:
        decided = decided.filter(agent=agent)
    rows = (
        decided.values("agent__slug", "model")
        .annotate(
            reviews=Count("pk"),
            approved=Count("pk", filter=Q(status=_Status.APPROVED)),
            unchanged=Count("pk", filter=Q(status=_Status.APPROVED, difference={})),
            both=Sum(F("drafted_characters") + F("published_characters"), filter=Q(status=_Status.APPROVED)),
            kept=Sum("kept_characters", filter=Q(status=_Status.APPROVED)),
        )
        .order_by("agent__slug", "model")
    )
    return [
        quality.Quality(
            agent=row["agent__slug"],
            model=row["model"] or None,
            reviews=row["reviews"],
            approved=row["approved"],
            rejected=row["reviews"] - row["approved"],
            unchanged=row["unchanged"],
            similarity=round(2 * row["kept"] / row["both"], 4) if row["both"] else None,
        )
        for row in rows
    ]
