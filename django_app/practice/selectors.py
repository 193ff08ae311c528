"""What people and agents may read of the course."""

from django.db.models import QuerySet

from practice import models


def lessons() -> QuerySet[models.Module]:
    """Return the published lessons."""
    return models.Module.objects.filter(published=True)


def published_tasks() -> QuerySet[models.Task]:
    """Return the tasks that students see."""
    return models.Task.objects.filter(active=True, module__published=True)
