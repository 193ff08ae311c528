"""What happened in a run and no other table tells."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from mandate.models.run import Run


class RunNote(models.Model):
    """One line of a run's story. Rows are added and never changed, as a trigger sees to; they go with their run."""

    class Kind(models.TextChoices):
        """What happened."""

        MOVED = "moved", "moved"
        """The run's status changed."""

        CANCELLED = "cancelled", "cancelled"
        RESUMED = "resumed", "resumed"
        LIMITS_RAISED = "limits_raised", "limits raised"
        MANDATE_REVOKED = "mandate_revoked", "mandate revoked"
        CALL_REFUSED = "call_refused", "call refused"
        """A call that left nothing else behind."""

        DECISION_REFUSED = "decision_refused", "decision refused"
        """A person decided and it could not be done."""

        REDELIVERED = "redelivered", "redelivered"
        """A person had a message delivered again."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="notes")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    """Who did it; nobody, where a program did."""

    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M:%S}"
