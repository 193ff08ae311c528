"""Reads how the runs of each version of the prompts did."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import Count, Max, Q

from mandate import models
from mandate.selectors import drafts, runs, shares, verification
from shared_schemas import prompts as wire
from shared_schemas.runs import RunStatus


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
        .annotate(**drafts.SUMS)
    }
    checked = verification.by(seen, "agent__slug", "prompt_version")
    keyed = {(row["agent__slug"], row["prompt_version"]): row for row in rows}
    return [_figures(row, reviews.get(key, {}), checked[key]) for key, row in keyed.items()]


def _figures(
    row: Mapping[str, Any], reviewed: Mapping[str, Any], checked: verification.Checked
) -> wire.PromptFigures:
    approved, rejected = reviewed.get("approved", 0), reviewed.get("rejected", 0)
    return wire.PromptFigures(
        agent=row["agent__slug"],
        prompt_version=row["prompt_version"],
        runs=row["count"],
        completed=row["done"],
        drafts=checked.drafts,
        verified=checked.verified,
        verification_rate=checked.rate,
        approved=approved,
        rejected=rejected,
        similarity=drafts.similarity(reviewed),
        approval_rate=shares.of(approved, approved + rejected),
    )
