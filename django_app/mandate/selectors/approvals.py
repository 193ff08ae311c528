"""Reads approvals: who may see them, and how they look on the wire."""

from django.contrib.auth.models import AbstractUser
from django.db.models import Q, QuerySet

from mandate import models
from mandate.tools import registry
from shared_schemas import runs as wire
from shared_schemas import tools as tool_wire


def visible_to(user: AbstractUser) -> QuerySet[models.Approval]:
    """Return the approvals of the user's own runs, and those that the user's permissions allow to decide."""
    approvals = models.Approval.objects.select_related(
        "tool_call", "run__agent__user", "run__started_by", "decided_by"
    )
    if user.is_active and user.is_superuser:
        return approvals
    return approvals.filter(Q(run__started_by=user) | Q(permission__in=user.get_all_permissions()))


def as_wire(approval: models.Approval) -> wire.Approval:
    """Return an approval as people see it."""
    call = approval.tool_call
    return wire.Approval(
        approval_id=approval.pk,
        run_id=approval.run_id,
        agent=approval.run.agent.slug,
        tool=call.tool,
        arguments=approval.arguments,
        message=approval.message,
        status=approval.status,  # type: ignore[arg-type]  # a constraint of the table
        requested_by=approval.run.started_by.get_username(),
        decided_by=approval.decided_by.get_username() if approval.decided_by else None,
        comment=approval.comment,
        input_schema=_input_schema(call.tool),
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        decided_at=approval.decided_at,
    )


def as_request(approval: models.Approval, call: models.ToolCall) -> tool_wire.ApprovalRequest:
    """Return an approval as the graph's interrupt shows it."""
    return tool_wire.ApprovalRequest(
        approval_id=approval.pk,
        tool=call.tool,
        arguments=approval.arguments,
        message=approval.message,
        tool_call_id=call.tool_call_id or None,
        expires_at=approval.expires_at,
        response_schema=wire.Decision.model_json_schema(),
    )


def _input_schema(name: str) -> tool_wire.JsonSchema:
    tool = registry.declared().get(name)
    return tool.spec().input_schema if tool else {}
