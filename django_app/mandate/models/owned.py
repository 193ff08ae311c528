"""Records that agents make."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class AiStatus(models.TextChoices):
    """What people think of a record that an agent made."""

    DRAFT = "draft", "draft"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"


class AgentOwned(models.Model):
    """A record that an agent may have made; tools reach it by `context.owned(...)` only."""

    ai_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    """The agent's account, or nobody for a record that a person made."""

    ai_status = models.CharField(max_length=10, choices=AiStatus.choices, default=AiStatus.DRAFT)

    draft_fields: ClassVar[tuple[str, ...]] = ()
    """The text that people review; where it is empty, every text of the record that has no choices."""

    verified_field: ClassVar[str | None] = None
    """The boolean field that says whether the record passed its check, if it has one."""

    class Meta:
        abstract = True
