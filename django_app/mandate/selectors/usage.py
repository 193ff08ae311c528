"""What a run has used of the limits that the agent service holds it to."""

from datetime import timedelta

from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from mandate import models
from mandate.selectors import catalogue
from shared_schemas import usage
from shared_schemas.tools import Limits, Used


def used(run: models.Run) -> Used:
    """Return what the segments before the current one used, and the time of all that ended."""
    return Used(models=by_model(run, before=run.segment), seconds=worked(run).total_seconds())


def by_model(run: models.Run, *, before: int | None = None) -> list[usage.ModelUsage]:
    """Add up what the segments of a run used, all or those before one."""
    sums: dict[str, usage.ModelUsage] = {}
    for row in sorted(run.usage.all(), key=lambda row: row.segment):
        if before is None or row.segment < before:
            earlier = sums.get(row.model, usage.ModelUsage(model=row.model))
            sums[row.model] = usage.ModelUsage(
                model=row.model,
                calls=earlier.calls + row.calls,
                input_tokens=earlier.input_tokens + row.input_tokens,
                output_tokens=earlier.output_tokens + row.output_tokens,
                first_token=row.first_token if earlier.first_token is None else earlier.first_token,
            )
    return list(sums.values())


def worked(run: models.Run) -> timedelta:
    """Return how long workers have held a run; while it waits in a queue or for a person, none does."""
    end = Coalesce(F("revoked_at"), timezone.now())
    total: timedelta | None = run.sessions.aggregate(total=Sum(end - F("created_at")))["total"]
    return total or timedelta(0)


def prices(limits: Limits) -> dict[str, usage.Price]:
    """Return what a worker must know to hold a run to its limit of money; without one, nothing."""
    return {} if limits.money is None else catalogue.prices()
