"""Reads comparisons, and how their models did."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Prefetch, QuerySet, Sum
from django.db.models.functions import Coalesce

from mandate import exceptions, models
from mandate.selectors import drafts, tables, usage
from mandate.selectors import runs as run_selectors
from shared_schemas import comparisons as wire
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

COLUMNS = (
    "model",
    "run_id",
    "status",
    "seconds",
    "first_token",
    "calls",
    "input_tokens",
    "output_tokens",
    "cost",
    "drafts",
    "verified",
    "verification_rate",
    "approved",
    "rejected",
    "approval_rate",
    "similarity",
)
"""Of the CSV export."""


def visible_to(user: AbstractUser | AnonymousUser) -> QuerySet[models.Comparison]:
    """Return a person's own comparisons, and everybody's for staff with the permission to view runs."""
    everything = models.Comparison.objects.all()
    return everything if run_selectors.sees_all(user) else everything.filter(started_by_id=user.pk)


def find(comparison_id: int, *, user: AbstractUser | AnonymousUser) -> models.Comparison:
    """Return a comparison that a person may see, read for `describe`.

    Raises:
        RequestRefused: NOT_FOUND.
    """
    found = detailed(visible_to(user)).filter(pk=comparison_id).first()
    if found is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"You have no comparison {comparison_id}.")
    return found


def listed(comparisons: QuerySet[models.Comparison]) -> QuerySet[models.Comparison]:
    """Fetch what a list shows: newest first, with each run's agent, model and status."""
    runs = (
        models.Run.objects.select_related("agent")
        .only("comparison_id", "agent__name", "model", "status", "created_at")
        .order_by("created_at", "id")
    )
    newest = comparisons.order_by("-created_at", "-pk").select_related("started_by")
    return newest.prefetch_related(Prefetch("runs", runs))


def detailed(comparisons: QuerySet[models.Comparison]) -> QuerySet[models.Comparison]:
    """Fetch the runs with the comparisons, in a fixed number of queries."""
    runs = models.Run.objects.select_related("agent").prefetch_related("usage").order_by("created_at", "id")
    return comparisons.select_related("started_by").prefetch_related(Prefetch("runs", runs))


def describe(comparisons: Iterable[models.Comparison]) -> list[wire.Comparison]:
    """Return comparisons that `detailed` has read, with each model's figures."""
    listed = list(comparisons)
    runs = {run.pk: run for comparison in listed for run in comparison.runs.all()}
    seconds, made, reviews = _seconds(runs), _drafts(runs), _reviews(runs)
    return [
        _described(
            comparison,
            [
                _figures(run, seconds.get(run.pk), made.get(run.pk, Counter()), reviews.get(run.pk, {}))
                for run in comparison.runs.all()
            ],
        )
        for comparison in listed
    ]


def as_csv(comparison: wire.Comparison) -> str:
    """Return a comparison's figures as RFC 4180 text, a line for each model."""
    return tables.as_csv(COLUMNS, comparison.results)


def _described(comparison: models.Comparison, results: list[wire.ModelFigures]) -> wire.Comparison:
    first = next(iter(comparison.runs.all()), None)
    return wire.Comparison(
        comparison_id=comparison.pk,
        name=comparison.name,
        agent=first.agent.slug if first else "",
        input=first.input if first else {},
        started_by=comparison.started_by.get_username(),
        created_at=comparison.created_at,
        results=results,
    )


def _figures(
    run: models.Run, seconds: float | None, made: Mapping[str, int], reviews: Mapping[str, Any]
) -> wire.ModelFigures:
    used = usage.by_model(run)
    return wire.ModelFigures(
        model=run.model,
        run_id=run.pk,
        status=RunStatus(run.status),
        error=run_selectors.failure_of(run),
        seconds=seconds if run.is_ended else None,
        first_token=min((one.first_token for one in used if one.first_token is not None), default=None),
        calls=sum(one.calls for one in used),
        input_tokens=sum(one.input_tokens for one in used),
        output_tokens=sum(one.output_tokens for one in used),
        cost=run.cost,
        drafts=made.get("made", 0),
        verified=made.get("verified", 0) if made.get("checked") else None,
        approved=reviews.get("approved", 0),
        rejected=reviews.get("rejected", 0),
        similarity=drafts.similarity(reviews),
    )


def _seconds(runs: Mapping[UUID, models.Run]) -> dict[UUID, float]:
    held = Coalesce(F("revoked_at"), F("run__ended_at")) - F("created_at")
    rows = (
        models.ToolSession.objects.filter(run__in=runs, run__ended_at__isnull=False)
        .values("run_id")
        .annotate(total=Sum(held))
    )
    return {row["run_id"]: max(row["total"] or timedelta(0), timedelta(0)).total_seconds() for row in rows}


def _drafts(runs: Mapping[UUID, models.Run]) -> dict[UUID, Counter[str]]:
    """Count the drafts that each run made, and those that passed their check."""
    counts: dict[UUID, Counter[str]] = defaultdict(Counter)
    for content_type, makers in _made(runs).items():
        model = content_type.model_class()
        if model is None or not issubclass(model, models.AgentOwned):
            continue
        field = model.verified_field
        users = {runs[maker].agent.user_id for maker in makers.values()}
        rows = model._default_manager.filter(pk__in=makers, ai_user__in=users)  # noqa: SLF001 - Django's public name
        for row in rows.values("pk", *([field] if field else ())):
            count = counts[makers[str(row["pk"])]]
            count["made"] += 1
            count["checked"] += field is not None
            count["verified"] += field is not None and bool(row[field])
    return counts


def _made(runs: Mapping[UUID, models.Run]) -> dict[ContentType, dict[str, UUID]]:
    """Return the records that calls touched, by kind, with the run that touched each first."""
    links = (
        models.ToolCallLink.objects.filter(tool_call__run__in=runs)
        .order_by("-tool_call__created_at")
        .values_list("content_type_id", "object_id", "tool_call__run_id")
    )
    made: dict[int, dict[str, UUID]] = defaultdict(dict)
    for content_type, object_id, run_id in links:
        made[content_type][object_id] = run_id
    return {ContentType.objects.get_for_id(kind): records for kind, records in made.items()}


def _reviews(runs: Mapping[UUID, models.Run]) -> dict[UUID, dict[str, Any]]:
    rows = models.DraftReview.objects.filter(run__in=runs).values("run_id").annotate(**drafts.SUMS)
    return {row["run_id"]: dict(row) for row in rows}
