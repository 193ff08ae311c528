"""What the pages' templates ask for."""

import functools
from datetime import datetime
from typing import Any

from django import template
from django.contrib.auth.models import AbstractUser
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from mandate.models import AgentOwned
from mandate.selectors import approvals, reviewing

register = template.Library()

_UNKNOWN = "\N{EN DASH}"
_LIVE = mark_safe(' role="status"')


@register.simple_tag(takes_context=True)
def waiting_approvals(context: template.Context) -> str:
    """Return how many questions wait for the reader, "50+" where more would have to be looked at."""
    user: Any = context["request"].user
    if not isinstance(user, AbstractUser):
        return ""
    waiting = approvals.waiting_for(user)
    return f"{waiting.count}{'' if waiting.is_all else '+'}" if waiting.count or not waiting.is_all else ""


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


# No templates of their own: a list has a hundred of both, and an include costs many times as much.
@register.simple_tag
def moment(at: datetime | None) -> str:
    """Return a time in the server's zone, with its name; `pages.js` writes it in the reader's."""
    if at is None:
        return _UNKNOWN
    here = timezone.localtime(at)
    text = here.isoformat()
    zone = escape(here.tzname())
    return mark_safe(f'<time datetime="{text}">{text[:10]} {text[11:19]} {zone}</time>')  # noqa: S308 - digits


@register.simple_tag
@functools.lru_cache(maxsize=64)
def status(name: str, *, live: bool = False) -> SafeString:
    """Return a run's status; where it is `live`, a change of it is read out."""
    told = name.replace("_", " ")
    return format_html('<span class="status {}"{}>{}</span>', name, _LIVE if live else "", told)
