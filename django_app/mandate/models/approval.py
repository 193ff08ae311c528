"""A tool call that waits for a person."""

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from mandate import fields
from mandate.models.run import Run
from mandate.models.tool_call import ToolCall


class Approval(models.Model):
    """One question to a person: may this call, with exactly these arguments, be done?"""

    class Status(models.TextChoices):
        """How it was answered."""

        PENDING = "pending", "pending"
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"
        EXPIRED = "expired", "expired"
        CANCELLED = "cancelled", "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    tool_call = models.OneToOneField(ToolCall, on_delete=models.CASCADE, related_name="approval")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    permission = models.CharField(max_length=150)
    """What the deciding person must hold at that moment, `app.codename`."""

    content_type = models.ForeignKey(
        ContentType, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    object_id = models.CharField(max_length=64, blank=True)
    record = GenericForeignKey("content_type", "object_id")
    """What the permission must be held for, where the tool's rule names a record."""

    four_eyes = models.BooleanField(default=False)
    """The person that the run acts for may not decide."""

    message = models.TextField()
    arguments = fields.ExactJSONField()
    """As they are shown; an approval runs exactly these."""

    edited_arguments = fields.ExactJSONField(null=True, blank=True)
    """What ran instead, where the person edited: validated and in canonical form as well."""

    comment = models.TextField(blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    interrupt_id = models.CharField(max_length=64, blank=True)
    """LangGraph's id of the interrupt that waits for it, once the run is known to be parked."""

    expires_at = models.DateTimeField()
    warn_at = models.DateTimeField(null=True, blank=True)
    """When people are told that the time is running out."""

    warned_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("created_at",)
        indexes = [
            models.Index(
                fields=("expires_at",), name="mandate_approval_open", condition=models.Q(status="pending")
            )
        ]
        constraints = [
            models.CheckConstraint(
                name="mandate_approval_status",
                condition=models.Q(status__in=["pending", "approved", "rejected", "expired", "cancelled"]),
            ),
            models.CheckConstraint(
                name="mandate_approval_decided",
                condition=models.Q(status="pending", decided_at__isnull=True)
                | (~models.Q(status="pending") & models.Q(decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="mandate_approval_decider",
                condition=~models.Q(status__in=["approved", "rejected"]) | models.Q(decided_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool_call.tool}: {self.status}"
