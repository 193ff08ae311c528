"""What people and agents may read of the course."""

from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, Q, QuerySet

from mandate.models import AiStatus, Approval
from practice import models
from shared_schemas.runs import RunStatus

_MOST_PRESSING = (
    RunStatus.AWAITING_APPROVAL,
    RunStatus.RUNNING,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
    RunStatus.COMPLETED,
)


def lessons() -> QuerySet[models.Module]:
    """Return the published lessons."""
    return models.Module.objects.filter(published=True)


def published_tasks() -> QuerySet[models.Task]:
    """Return the tasks that students see."""
    return models.Task.objects.filter(active=True, module__published=True)


def tasks_for(agent: AbstractBaseUser) -> QuerySet[models.Task]:
    """Return what an agent's account may see: what it made, and the drafts of the agents that it shares a group with.

    A group of Django's is how people say that agents work together. What people have decided about, or
    published, is not shared, and neither is what people made themselves.
    """
    shared = Q(ai_user__in=_colleagues(agent), ai_status=AiStatus.DRAFT, active=False)
    return models.Task.objects.filter(Q(ai_user=agent.pk) | shared)


def publishable_by(agent: AbstractBaseUser) -> QuerySet[models.Task]:
    """Return what a question of an agent may be about: what it or a colleague made, and people have not rejected.

    While a question waits, people may publish its draft on the draft's own page; the question is answered then too.
    """
    made = Q(ai_user=agent.pk) | Q(ai_user__in=_colleagues(agent))
    return models.Task.objects.filter(made).exclude(ai_status=AiStatus.REJECTED)


def _colleagues(agent: AbstractBaseUser) -> QuerySet[AbstractBaseUser]:
    return get_user_model().objects.filter(mandate_agent__isnull=False, groups__user=agent.pk)


def open_drafts() -> QuerySet[models.Task]:
    """Return what agents drafted and nobody has decided about, the latest first."""
    made = models.Task.objects.filter(ai_user__mandate_agent__isnull=False, active=False)
    return made.filter(ai_status=AiStatus.DRAFT).select_related("module").order_by("-pk")


def chains_of(person: AbstractBaseUser) -> QuerySet[models.Chain]:
    """Return the chains that a person started, with their steps."""
    steps = models.ChainStep.objects.select_related("run", "task").defer(
        "run__input", "run__result", "run__final_state"
    )
    chains = models.Chain.objects.filter(started_by=person.pk).select_related("module", "student")
    return chains.prefetch_related(Prefetch("steps", steps))


def status_of(chain: models.Chain) -> RunStatus:
    """Return how a chain stands, in the words of runs: what a person has to do comes first, then what is at work."""
    found = {RunStatus(step.run.status) if step.run else RunStatus.FAILED for step in chain.steps.all()}
    if found == {RunStatus.PENDING}:
        return RunStatus.PENDING
    moving = {RunStatus.RUNNING if status is RunStatus.PENDING else status for status in found}
    # Its steps go with their runs, which are not kept for ever.
    return next((status for status in _MOST_PRESSING if status in moving), RunStatus.COMPLETED)


def questions_of(chain: models.Chain) -> QuerySet[Approval]:
    """Return what people are asked about a chain's tasks and nobody has answered yet."""
    asked = Approval.objects.filter(run__in=runs_of(chain), status=Approval.Status.PENDING)
    return asked.order_by("created_at", "pk")


def runs_of(chain: models.Chain) -> list[UUID]:
    """Return the runs that a chain has by now."""
    return [step.run_id for step in chain.steps.all() if step.run_id]
