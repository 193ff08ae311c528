"""Reads runs for the people who may see them."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import F, Prefetch, QuerySet

from mandate import exceptions, models
from mandate.models.run import ENDED
from mandate.selectors import usage
from shared_schemas import runs as wire
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.tools import Limits

SEES_ALL = "mandate.view_run"
CHANGES_ALL = "mandate.change_run"

User = AbstractUser | AnonymousUser
Read = Callable[[QuerySet[models.Run]], QuerySet[models.Run]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands, for those who follow it."""

    status: wire.RunStatus
    failure: Failure | None
    agent_run_ids: tuple[uuid.UUID, ...]
    """The agent service's runs of the segments so far; the current one's may not be known yet."""

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED


def visible_to(user: User) -> QuerySet[models.Run]:
    """Return a person's own runs, and everybody's for those who see all."""
    everything = models.Run.objects.all()
    return everything if sees_all(user) else everything.filter(started_by_id=user.pk)


def sees_all(user: User) -> bool:
    """Tell whether a user is staff with the permission to view runs."""
    return user.is_staff and user.has_perm(SEES_ALL)


def find(run_id: uuid.UUID, *, user: User, to_change: bool = False, read: Read | None = None) -> models.Run:
    """Return a run that a person may see, and change where that is asked, with what `read` fetches.

    Raises:
        RequestRefused: NOT_FOUND; FORBIDDEN, they may only see it.
    """
    run = (read or detailed)(visible_to(user)).filter(pk=run_id).first()
    if run is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"You have no run {run_id}.")
    if to_change and run.started_by_id != user.pk and not user.has_perm(CHANGES_ALL):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, "You may see this run, not change it.")
    return run


def listed(runs: QuerySet[models.Run]) -> QuerySet[models.Run, Any]:
    """Return what a list shows of runs, newest first: named values, which take half the time of objects."""
    person = F(f"started_by__{get_user_model().USERNAME_FIELD}")
    named = runs.annotate(agent_name=F("agent__name"), person=person).order_by("-created_at", "-pk")
    return named.values_list(
        "pk", "status", "model", "cost", "created_at", "agent_name", "person", named=True
    )


def detailed(runs: QuerySet[models.Run]) -> QuerySet[models.Run]:
    """Fetch what `describe` needs, in a fixed number of queries."""
    approvals = models.Approval.objects.only("run_id", "status")
    return runs.select_related("agent").prefetch_related("usage", Prefetch("approvals", approvals))


def describe(run: models.Run) -> wire.Run:
    """Return a run, read by `detailed`, as its owner sees it."""
    return wire.Run(
        run_id=run.pk,
        agent=run.agent.slug,
        thread_id=str(run.thread_id),
        status=wire.RunStatus(run.status),
        input=run.input,
        result=run.result,
        error=failure_of(run),
        model=run.model,
        usage=usage.by_model(run),
        prompt_version=run.prompt_version,
        cost=run.cost,
        limits=Limits.model_validate(run.limits),
        pending_approvals=[
            approval.pk for approval in run.approvals.all() if approval.status == approval.Status.PENDING
        ],
        created_at=run.created_at,
        updated_at=run.updated_at,
        ended_at=run.ended_at,
    )


def exported(run: models.Run) -> wire.RunExport:
    """Return a run, read by `detailed`, with all that is kept of its end."""
    whole = describe(run).model_dump()
    return wire.RunExport(**whole, started_by=run.started_by.get_username(), final_state=run.final_state)


def progress(run_id: uuid.UUID) -> Progress:
    """Return where a run stands."""
    fields = ("status", "error_code", "error_message", "agent_run_id", "earlier_agent_runs")
    run = models.Run.objects.only(*fields).get(pk=run_id)
    current = (run.agent_run_id,) if run.agent_run_id else ()
    return Progress(
        status=wire.RunStatus(run.status),
        failure=failure_of(run),
        agent_run_ids=(*run.earlier_agent_runs, *current),
    )


def failure_of(run: models.Run) -> Failure | None:
    """Return why a run failed, if it did."""
    return Failure(code=ErrorCode(run.error_code), message=run.error_message) if run.error_code else None
