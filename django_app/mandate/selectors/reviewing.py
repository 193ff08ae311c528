"""Reads the drafts that wait for people, of every model that agents may own."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models as django_models
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast

from mandate import exceptions, models
from mandate.models import AgentOwned, AiStatus
from mandate.tools import reviewing
from shared_schemas.problems import ErrorCode

MOST_COUNTED = 100
"""Drafts are counted as far as this; it is a number to see that there is work."""


@cache
def kinds() -> Mapping[str, type[AgentOwned]]:
    """Return the models that agents may own, by their labels."""
    owned = [model for model in apps.get_models() if issubclass(model, AgentOwned)]
    return {model._meta.label_lower: model for model in owned}  # noqa: SLF001 - Django's documented API


def kind(name: str) -> type[AgentOwned]:
    """Return the model of a label.

    Raises:
        RequestRefused: NOT_FOUND.
    """
    try:
        return kinds()[name]
    except KeyError:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"There are no drafts {name!r}.") from None


def permission(model: type[AgentOwned]) -> str:
    """Return what a person needs to review drafts of a model: what its rule says, else to change records."""
    if model in reviewing.declared():
        return reviewing.declared()[model].permission
    return f"{model._meta.app_label}.change_{model._meta.model_name}"  # noqa: SLF001 - Django's documented API


def may_review(model: type[AgentOwned], user: AbstractUser) -> bool:
    """Tell whether a person may change, publish and reject drafts of a model."""
    return user.has_perm(permission(model))


def visible_to(model: type[AgentOwned], user: AbstractUser) -> QuerySet[AgentOwned]:
    """Return what agents made: all of it for those who review it, else what the person's own runs touched."""
    made: QuerySet[AgentOwned] = model._default_manager.filter(ai_user__mandate_agent__isnull=False)  # noqa: SLF001 - Django's public name
    if may_review(model, user):
        return made
    return made.filter(Exists(_touches(model).filter(tool_call__run__started_by=user.pk)))


def with_origin(made: QuerySet[AgentOwned]) -> QuerySet[AgentOwned]:
    """Give each record `made_in`, the run that first touched it, and `made_for`, the person that one acted for."""
    first = _touches(made.model).order_by("tool_call__created_at")
    origin: Mapping[str, Any] = {
        "made_in": Subquery(first.values("tool_call__run")[:1]),
        "made_for": Subquery(first.values("tool_call__run__started_by")[:1]),
    }
    return made.annotate(**origin)


def _touches(model: type[AgentOwned]) -> QuerySet[models.ToolCallLink]:
    return models.ToolCallLink.objects.filter(
        content_type=ContentType.objects.get_for_model(model),
        object_id=Cast(OuterRef("pk"), django_models.CharField()),
    )


def find(model: type[AgentOwned], pk: str, *, user: AbstractUser) -> AgentOwned:
    """Return a record of an agent's that a person may see, with its origin, whatever was decided about it.

    Raises:
        RequestRefused: NOT_FOUND.
    """
    try:
        return with_origin(visible_to(model, user)).get(pk=pk)
    except (model.DoesNotExist, ValueError, ValidationError):
        # A key of another form than the model's is nobody's.
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, "There is no such draft.") from None


def waiting(model: type[AgentOwned], user: AbstractUser) -> int:
    """Count the drafts that a person sees and nobody has decided about, up to `MOST_COUNTED`."""
    return visible_to(model, user).filter(ai_status=AiStatus.DRAFT).order_by()[:MOST_COUNTED].count()


def latest_review(record: AgentOwned) -> models.DraftReview | None:
    """Return what people last did about a record."""
    reviews = models.DraftReview.objects.select_related("reviewed_by")
    place = {"content_type": ContentType.objects.get_for_model(record), "object_id": str(record.pk)}
    return reviews.filter(**place).order_by("-created_at").first()


def next_waiting(record: AgentOwned, user: AbstractUser) -> AgentOwned | None:
    """Return the draft that comes after a record in the queue, or else the first of the others."""
    others = (
        visible_to(type(record), user).filter(ai_status=AiStatus.DRAFT).exclude(pk=record.pk).order_by("pk")
    )
    return others.filter(pk__gt=record.pk).first() or others.first()
