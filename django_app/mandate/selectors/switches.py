"""Reads which tools a person switched off."""

from mandate import models


def paused_tools() -> frozenset[str]:
    """Return the tools that no agent may call at the moment."""
    paused = models.ToolSwitch.objects.filter(is_paused=True)
    return frozenset(paused.values_list("tool", flat=True))
