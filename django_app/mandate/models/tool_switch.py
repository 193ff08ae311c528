"""Tools that a person switched off."""

from django.conf import settings
from django.db import models


class ToolSwitch(models.Model):
    """Lets a tool rest for all agents. A tool without a row works."""

    tool = models.CharField(max_length=64, unique=True)
    is_paused = models.BooleanField(default=True)
    """No call of it is done, from the next one of a running run on."""

    reason = models.TextField(blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("tool",)
        verbose_name_plural = "tool switches"

    def __str__(self) -> str:
        return f"{self.tool}: {'paused' if self.is_paused else 'works'}"
