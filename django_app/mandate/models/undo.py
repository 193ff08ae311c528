"""Effects that a person took back."""

from django.conf import settings
from django.db import models

from mandate.models.tool_call import ToolCall


class ToolCallUndo(models.Model):
    """The one time that a call's effect was undone, written in the transaction that did it."""

    tool_call = models.OneToOneField(
        ToolCall, on_delete=models.CASCADE, primary_key=True, related_name="undo"
    )
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    comment = models.TextField(blank=True)
    undone_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-undone_at",)
        default_permissions = ("view",)
        permissions = (("undo_toolcall", "Can undo what a tool call did"),)

    def __str__(self) -> str:
        return f"{self.tool_call} undone"
