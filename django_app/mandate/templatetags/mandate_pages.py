"""What the pages' templates ask for."""

from typing import Any

from django import template
from django.contrib.auth.models import AbstractUser
from django.urls import reverse

from mandate.models import AgentOwned
from mandate.selectors import reviewing

register = template.Library()


@register.simple_tag(takes_context=True)
def waiting_drafts(context: template.Context) -> str:
    """Return how many drafts wait for the reader, "99+" for many, nothing for none."""
    user: Any = context["request"].user
    if not isinstance(user, AbstractUser):
        return ""
    count = sum(reviewing.waiting(model, user) for model in reviewing.kinds().values())
    if count >= reviewing.MOST_COUNTED:
        return f"{reviewing.MOST_COUNTED - 1}+"
    return str(count) if count else ""


@register.simple_tag
def draft_url(record: AgentOwned) -> str:
    """Return the address of a draft's page."""
    return reverse("mandate-draft-page", args=[record._meta.label_lower, record.pk])  # noqa: SLF001 - Django's documented API
