"""Everything in Django's admin. History can be read there and not changed."""

from mandate.admin import agents, calls, catalogue, messages, runs

__all__ = ("agents", "calls", "catalogue", "messages", "runs")
