"""The ledger: what agents did, once each."""

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from mandate import fields
from mandate.models.run import Run
from mandate.models.tool_session import ToolSession


class ToolCall(models.Model):
    """One call of a writing tool.

    A succeeded row exists if and only if the effect committed exactly once:
    both are written in one transaction, under the unique pair of run and key.
    """

    class Status(models.TextChoices):
        """How the call was answered."""

        CLAIMED = "claimed", "claimed"
        """Only seen inside the transaction that does the call."""

        PENDING_APPROVAL = "pending_approval", "pending approval"
        SUCCEEDED = "succeeded", "succeeded"
        DECLINED = "declined", "declined"
        """A person rejected it, or nobody decided in time."""

        REPEATED = "repeated", "repeated"
        """A model repeated itself and was given the answer of the earlier call."""

        REFUSED = "refused", "refused"
        """A model repeated itself too often; the response is a problem."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tool_calls")
    session = models.ForeignKey(ToolSession, on_delete=models.SET_NULL, null=True, related_name="+")
    key = models.CharField(max_length=64)
    """The idempotency key."""

    tool = models.CharField(max_length=64)
    tool_version = models.CharField(max_length=12)
    arguments = fields.ExactJSONField()
    """Validated and in canonical form; what an approval runs."""

    arguments_digest = models.CharField(max_length=64)
    """SHA-256 of tool and arguments, to find a model that repeats itself."""

    fingerprint = models.CharField(max_length=64)
    """SHA-256 of tool, version, arguments, agent user and acting-for user: what makes two requests the same."""

    repeat_guard = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL is not unique
    """The digest, in the one row of a run that its repeats find; nothing where a call may be done again."""

    status = models.CharField(max_length=20, choices=Status.choices)
    response = fields.ExactJSONField(null=True, blank=True)
    """`shared_schemas.tools.ToolCallAnswer`, given again to the same request; of a refused one the problem."""

    agent_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    acting_for = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    epoch = models.BigIntegerField()
    """The worker that made the call first."""

    tool_call_id = models.CharField(max_length=200, blank=True)
    """The model's id of the call."""

    repeat_of = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="repeats"
    )
    """The call with the same arguments that a repeating model was given the answer of."""

    replay_count = models.PositiveIntegerField(default=0)
    """How often the stored answer was given again."""

    replayed_at = models.DateTimeField(null=True, blank=True)
    """When it was given again last."""

    replays = models.JSONField(default=dict, blank=True)
    """When each worker first asked again, by its epoch."""

    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)
        indexes = [models.Index(fields=("run", "arguments_digest"), name="mandate_call_repeats")]
        constraints = [
            models.UniqueConstraint(fields=("run", "key"), name="mandate_call_key"),
            models.UniqueConstraint(fields=("run", "repeat_guard"), name="mandate_call_guard"),
            models.CheckConstraint(
                name="mandate_call_finished",
                condition=models.Q(status__in=["claimed", "pending_approval"], finished_at__isnull=True)
                | models.Q(
                    status__in=["succeeded", "declined", "repeated", "refused"],
                    finished_at__isnull=False,
                    response__isnull=False,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.key}"


class ToolResult(models.Model):
    """The whole of a result that was too large for its answer."""

    tool_call = models.OneToOneField(
        ToolCall, on_delete=models.CASCADE, primary_key=True, related_name="whole_result"
    )
    json = models.TextField()
    size = models.PositiveIntegerField()
    """Bytes of the JSON."""

    def __str__(self) -> str:
        return f"{self.size} bytes"


class ToolCallLink(models.Model):
    """A record that a call touched."""

    tool_call = models.ForeignKey(ToolCall, on_delete=models.CASCADE, related_name="links")
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    object_id = models.CharField(max_length=64)
    record = GenericForeignKey("content_type", "object_id")

    class Meta:
        indexes = [models.Index(fields=("content_type", "object_id"), name="mandate_link_record")]
        constraints = [
            models.UniqueConstraint(
                fields=("tool_call", "content_type", "object_id"), name="mandate_link_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.content_type} {self.object_id}"


class CallCount(models.Model):
    """How many calls a run has made; counted only where a limit asks for it."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="call_count")
    tool_calls = models.PositiveIntegerField(default=0)
    writes = models.PositiveIntegerField(default=0)
    per_tool = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.tool_calls} calls"
