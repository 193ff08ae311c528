"""A worker's right to call one run's tools."""

import uuid

from django.db import models

from mandate.models.run import Run


class ToolSession(models.Model):
    """One worker's hold on one run; its token is kept as a hash only."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="sessions")
    epoch = models.BigIntegerField()
    token_hash = models.CharField(max_length=64, unique=True)
    """SHA-256 of the run token, in hex."""

    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = [models.UniqueConstraint(fields=("run", "epoch"), name="mandate_session_epoch")]

    def __str__(self) -> str:
        return f"run {self.run_id}, epoch {self.epoch}"
