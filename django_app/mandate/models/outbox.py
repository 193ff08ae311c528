"""Messages that are written with the data they are about."""

from django.db import models
from django.utils import timezone

from mandate.models.run import Run
from mandate.models.tool_call import ToolCall


class OutboxMessage(models.Model):
    """A message to another system, delivered at least once, in order within its run."""

    class Status(models.TextChoices):
        """Where its delivery is."""

        PENDING = "pending", "pending"
        DELIVERED = "delivered", "delivered"
        DEAD = "dead", "dead"

    topic = models.CharField(max_length=100)
    """Who delivers it: `run.submit`, `run.resume`, `run.cancel`, or a topic of the project's own."""

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, null=True, blank=True, related_name="outbox_messages"
    )
    """The run whose messages are delivered in order; a tool's message holds up none of them."""

    tool_call = models.ForeignKey(
        ToolCall, on_delete=models.SET_NULL, null=True, blank=True, related_name="outbox_messages"
    )
    """The call whose effect it is."""

    key = models.CharField(max_length=200, unique=True)
    """Idempotency key that goes with every delivery."""

    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        indexes = [
            models.Index(
                fields=("next_attempt_at", "id"),
                name="mandate_outbox_due",
                condition=models.Q(status="pending"),
            ),
            models.Index(
                fields=("status", "created_at"),
                name="mandate_outbox_open",
                condition=models.Q(status__in=["pending", "dead"]),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="mandate_outbox_delivered",
                condition=models.Q(status="delivered", delivered_at__isnull=False)
                | (~models.Q(status="delivered") & models.Q(delivered_at__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"
