"""One execution of an agent, and what its models used."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from mandate.models.agent import Agent
from mandate.models.comparison import Comparison
from shared_schemas.runs import RunStatus

ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
AT_WORK = (RunStatus.PENDING, RunStatus.RUNNING)
"""The agent service has the run in hand; a parked one waits for a person."""

ACTIVE = (*AT_WORK, RunStatus.AWAITING_APPROVAL)

ONE_ACTIVE = "mandate_run_thread"
"""The constraint by which one run of a thread is active at a time."""

LEGAL_MOVES: dict[str, frozenset[str]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, *ENDED, RunStatus.AWAITING_APPROVAL}),
    RunStatus.RUNNING: frozenset({RunStatus.AWAITING_APPROVAL, *ENDED}),
    RunStatus.AWAITING_APPROVAL: frozenset(
        {RunStatus.RUNNING, RunStatus.PENDING, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.FAILED: frozenset({RunStatus.PENDING}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
"""From a status to those it may become. `pending` may skip `running`: its webhook can be the first news."""


class Run(models.Model):
    """One execution of an agent for a person."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="runs", db_index=False)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="mandate_runs"
    )
    """The person it acts for."""

    thread_id = models.UUIDField(db_index=True)
    """The thread at the agent service: the run's own id, or that of the conversation it continues."""

    status = models.CharField(
        max_length=20,
        choices=[(status.value, status.value) for status in RunStatus],
        default=RunStatus.PENDING,
    )
    input = models.JSONField()
    model = models.CharField(max_length=100)
    tools = ArrayField(models.CharField(max_length=64), default=list)
    """What the run may call: the agent's tools, or fewer."""

    limits = models.JSONField(default=dict)
    """`shared_schemas.tools.Limits`: the agent's, or lower."""

    priority = models.SmallIntegerField(default=0)
    """The agent's, when it was started: where runs wait for a worker, the higher is first."""

    segment = models.PositiveIntegerField(default=1)
    """Which submission to the agent service this is; every resume is a new one."""

    agent_run_id = models.UUIDField(null=True, blank=True, db_index=True)
    """The agent service's run of the current segment, once it answered."""

    earlier_agent_runs = ArrayField(models.UUIDField(), default=list, blank=True)
    """The agent service's runs of the segments before, in their order."""

    epoch = models.BigIntegerField(default=0)
    """The latest worker's fencing epoch; an older worker is refused."""

    result = models.JSONField(null=True, blank=True)
    final_state = models.JSONField(null=True, blank=True)
    """The thread's values at the end, as the graph left them."""

    error_code = models.CharField(max_length=50, blank=True)
    error_message = models.TextField(blank=True)
    cost = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    """What its models cost by the settings' prices; nothing if a price is not known."""

    prompt_version = models.CharField(max_length=64, blank=True)
    """Of the prompts it was last worked on with, by their content, as the agent service says."""

    comparison = models.ForeignKey(
        Comparison, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs"
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True, editable=False)  # noqa: DJ001 - unique where given
    """Of the request that started it; the same person's repeat finds this run."""

    request_digest = models.CharField(max_length=64, blank=True, editable=False)
    """SHA-256 of that request."""

    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)
    reconciled_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the agent service was last asked about it without having called."""

    ended_at = models.DateTimeField(null=True, blank=True)

    replayed = False
    """Not stored: this object answers a repeated request."""

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=("started_by", "-created_at"), name="mandate_run_owner"),
            models.Index(fields=("status", "-created_at"), name="mandate_run_status_newest"),
            models.Index(fields=("agent", "-created_at"), name="mandate_run_agent_newest"),
            models.Index(fields=("model", "-created_at"), name="mandate_run_model_newest"),
            models.Index(
                fields=("agent", "prompt_version"),
                name="mandate_run_prompts",
                condition=~models.Q(prompt_version=""),
            ),
            models.Index(
                fields=("prompt_version", "-created_at"),
                name="mandate_run_prompt_newest",
                condition=~models.Q(prompt_version=""),
            ),
            models.Index(fields=("ended_at",), name="mandate_run_ended_at"),
            models.Index(
                fields=("updated_at",),
                name="mandate_run_open",
                condition=models.Q(status__in=[*ACTIVE]),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="mandate_run_status",
                condition=models.Q(status__in=[status.value for status in RunStatus]),
            ),
            models.CheckConstraint(
                name="mandate_run_ended",
                condition=models.Q(status__in=[*ENDED], ended_at__isnull=False)
                | (~models.Q(status__in=[*ENDED]) & models.Q(ended_at__isnull=True)),
            ),
            models.CheckConstraint(name="mandate_run_segment", condition=models.Q(segment__gte=1)),
            models.UniqueConstraint(
                name=ONE_ACTIVE, fields=("thread_id",), condition=models.Q(status__in=[*ACTIVE])
            ),
            models.UniqueConstraint(name="mandate_run_request", fields=("started_by", "idempotency_key")),
        ]

    def __str__(self) -> str:
        return f"{self.agent.slug} {self.id}"

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED


class ModelUsage(models.Model):
    """The sum over one segment's calls of one model."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="usage")
    segment = models.PositiveIntegerField()
    model = models.CharField(max_length=100)
    calls = models.PositiveIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    first_token = models.FloatField(null=True, blank=True)
    """Seconds from its first question until the first piece of the answer, if it was streamed."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=("run", "segment", "model"), name="mandate_usage_once")]

    def __str__(self) -> str:
        return f"{self.model}: {self.input_tokens} + {self.output_tokens} tokens"
