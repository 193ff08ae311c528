"""Changes how much a run may use."""

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from mandate import exceptions, models
from mandate.services import mandates, notes, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import LimitsChange, RunStatus
from shared_schemas.tools import Limits


@transaction.atomic
def change(run_id: uuid.UUID, wanted: LimitsChange, *, by: AbstractBaseUser) -> models.Run:
    """Set limits of a run, up to its agent's; those that are not named stay, and `null` is the agent's own.

    Tool calls heed them at once, a worker from the next segment or takeover on.

    Raises:
        RequestRefused: INVALID_REQUEST, one is wider than the agent's; ILLEGAL_TRANSITION, the run is over.
    """
    run = runs.locked(run_id)
    if run.status in {RunStatus.COMPLETED, RunStatus.CANCELLED}:
        raise exceptions.RequestRefused(
            ErrorCode.ILLEGAL_TRANSITION, f"The run is {run.status!r}; its limits do not matter any more."
        )
    before = run.limits
    named = wanted.model_dump(mode="json", exclude_unset=True)
    asked = {name: value for name, value in (before | named).items() if value is not None}
    run.limits = _stored(mandates.narrowed_limits(run.agent, Limits.model_validate(asked)))
    mandates.check_prices(run)
    run.save(update_fields=["limits", "updated_at"])
    notes.write(run.pk, notes.Kind.LIMITS_RAISED, {"before": before, "after": run.limits}, by=by)
    return run


def raise_to_agents(run_id: uuid.UUID, *, by: AbstractBaseUser) -> models.Run:
    """Give a run all that its agent may use now; refuses as `change`."""
    everything: dict[str, None] = dict.fromkeys(LimitsChange.model_fields)
    return change(run_id, LimitsChange(**everything), by=by)


def _stored(limits: Limits) -> dict[str, Any]:
    return limits.model_dump(mode="json", exclude_none=True)
