"""Reads how the runs of each version of the prompts did."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import Count, F, Max, Q, Sum

from mandate import models
from mandate.selectors import runs
from shared_schemas import prompts as wire
from shared_schemas.runs import RunStatus

_Status = models.DraftReview.Status


def by_version(user: AbstractUser | AnonymousUser, *, agent: str = "") -> list[wire.PromptFigures]:
    """Return the figures of each agent's prompt versions, of the runs that a person may see."""
    seen = runs.visible_to(user).exclude(prompt_version="")
    if "\0" in agent:
        # PostgreSQL keeps no such text, and takes none.
        return []
    if agent:
        seen = seen.filter(agent__slug=agent)
    rows = (
        seen.order_by()
        .values("agent__slug", "prompt_version")
        .annotate(
            count=Count("pk"),
            done=Count("pk", filter=Q(status=RunStatus.COMPLETED)),
            latest=Max("created_at"),
        )
        .order_by("agent__slug", "-latest")
    )
    # Counted apart from the runs: a join would count a run once for each of its drafts.
    reviews = {
        (row["run__agent__slug"], row["run__prompt_version"]): row
        for row in models.DraftReview.objects.filter(run__in=seen.order_by().values("pk"))
        .order_by()
        .values("run__agent__slug", "run__prompt_version")
        .annotate(**_MADE_OF_THEM)
    }
    return [_figures(row, reviews.get((row["agent__slug"], row["prompt_version"]), {})) for row in rows]


_APPROVED = Q(status=_Status.APPROVED)
_MADE_OF_THEM: dict[str, Any] = {
    "approved": Count("pk", filter=_APPROVED),
    "rejected": Count("pk", filter=Q(status=_Status.REJECTED)),
    "both": Sum(F("drafted_characters") + F("published_characters"), filter=_APPROVED),
    "kept": Sum("kept_characters", filter=_APPROVED),
}


def _figures(row: Mapping[str, Any], reviewed: Mapping[str, Any]) -> wire.PromptFigures:
    approved, rejected = reviewed.get("approved", 0), reviewed.get("rejected", 0)
    both = reviewed.get("both")
    decided = approved + rejected
    return wire.PromptFigures(
        agent=row["agent__slug"],
        prompt_version=row["prompt_version"],
        runs=row["count"],
        completed=row["done"],
        approved=approved,
        rejected=rejected,
        similarity=round(2 * reviewed["kept"] / both, 4) if both else None,
        approval_rate=round(approved / decided, 4) if decided else None,
    )
