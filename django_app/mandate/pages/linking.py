"""Which drafts a run's calls touched, for readers who may look at them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.contrib.auth.models import AbstractUser

from mandate import models
from mandate.models import AgentOwned
from mandate.selectors import reviewing


def drafts_of(
    calls: Iterable[UUID], *, made_for: AbstractUser, reader: AbstractUser
) -> Mapping[UUID, list[AgentOwned]]:
    """Return the agents' own records that calls of one person's runs touched, by call; what is gone is left out."""
    found: dict[UUID, list[AgentOwned]] = defaultdict(list)
    links = models.ToolCallLink.objects.filter(tool_call__in=list(calls)).prefetch_related("record")
    for link in links.order_by("pk"):
        record = link.record
        if not isinstance(record, AgentOwned) or record.ai_user_id is None:
            continue
        if made_for == reader or reviewing.may_review(type(record), reader):
            found[link.tool_call_id].append(record)
    return found
