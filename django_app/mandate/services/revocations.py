"""Takes mandates away."""

import uuid

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from mandate import exceptions, models
from mandate.services import notes, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus


@transaction.atomic
def revoke(run_id: uuid.UUID, *, by: AbstractBaseUser) -> models.Run:
    """Leave a run without any tool, for good. After this has committed no tool call of it commits.

    The run is not stopped: it is told `tool_not_granted`, and what waits for a person can only be rejected.

    Raises:
        RequestRefused: ILLEGAL_TRANSITION, the run is over; its mandate has ended with it.
    """
    run = runs.locked(run_id)
    if run.status in {RunStatus.COMPLETED, RunStatus.CANCELLED}:
        raise exceptions.RequestRefused(
            ErrorCode.ILLEGAL_TRANSITION, f"The run is {run.status!r}; its mandate has ended with it."
        )
    before, run.tools = run.tools, []
    run.save(update_fields=["tools", "updated_at"])
    notes.write(run.pk, notes.Kind.MANDATE_REVOKED, {"tools": list(before)}, by=by)
    return run
