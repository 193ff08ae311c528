"""Webhooks that were received, each applied once."""

from django.db import models

from mandate.models.run import Run


class WebhookReceipt(models.Model):
    """A webhook that was applied; a repeated delivery finds its id here."""

    webhook_id = models.CharField(max_length=200, unique=True)
    type = models.CharField(max_length=100)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, null=True, related_name="webhook_receipts")
    body = models.JSONField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-received_at",)

    def __str__(self) -> str:
        return f"{self.type} {self.webhook_id}"
