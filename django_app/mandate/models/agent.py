"""What an agent is allowed to be."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Agent(models.Model):
    """A graph with an account of its own, the tools it may use and how much of them."""

    slug = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    graph = models.CharField(max_length=100)
    """The graph's name at the agent service."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="mandate_agent"
    )
    """The account that the agent's tools act as; it has no usable password."""

    tools = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    """Names of the tools that its runs may call; a run may narrow them."""

    limits = models.JSONField(default=dict, blank=True)
    """`shared_schemas.tools.Limits`; a run may narrow them."""

    start_permission = models.CharField(max_length=200, blank=True)
    """Django permission, `app.codename`, that a person needs to start it; empty, everybody who signs in may."""

    default_model = models.CharField(max_length=100)
    priority = models.SmallIntegerField(default=0)
    """Of its runs, from -100 to 100: where runs wait for a worker, the higher is first."""

    is_paused = models.BooleanField(default=False)
    """No new run starts and no running one may call a tool."""

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.CheckConstraint(
                name="mandate_agent_priority",
                condition=models.Q(priority__gte=-100, priority__lte=100),
                violation_error_message="A priority is between -100 and 100.",
            ),
        )

    def __str__(self) -> str:
        return self.name
