"""What people and agents may read of the course."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet

from mandate.models import AiStatus
from practice import models


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
    colleagues = get_user_model().objects.filter(mandate_agent__isnull=False, groups__user=agent.pk)
    shared = Q(ai_user__in=colleagues, ai_status=AiStatus.DRAFT, active=False)
    return models.Task.objects.filter(Q(ai_user=agent.pk) | shared)


def open_drafts() -> QuerySet[models.Task]:
    """Return what agents drafted and nobody has decided about, the latest first."""
    made = models.Task.objects.filter(ai_user__mandate_agent__isnull=False, active=False)
    return made.filter(ai_status=AiStatus.DRAFT).select_related("module").order_by("-pk")


def chains_of(person: AbstractBaseUser) -> QuerySet[models.Chain]:
    """Return the chains that a person started."""
    return models.Chain.objects.filter(started_by=person.pk).select_related("module", "student")
