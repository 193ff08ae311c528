"""Reads approvals: who may see them, and how they look on the wire."""

from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db.models import Model, Q, QuerySet

from mandate import models
from mandate.selectors import changes
from mandate.tools import registry
from shared_schemas import runs as wire
from shared_schemas import tools as tool_wire


def visible_to(user: AbstractUser) -> QuerySet[models.Approval]:
    """Return the approvals of the user's own runs, those the user decided, and those the user may decide."""
    related = ("tool_call", "run__agent__user", "run__started_by", "decided_by")
    approvals = models.Approval.objects.select_related(*related).prefetch_related("record")
    if user.is_active and user.is_superuser:
        return approvals
    return approvals.filter(
        Q(run__started_by=user)
        | Q(decided_by=user)
        | Q(content_type=None, permission__in=user.get_all_permissions())
        | Q(pk__in=_about_records_of(user))
    )


def holds(user: AbstractUser, permission: str, record: Model | None) -> bool:
    """Tell whether a user holds a permission, for a record where there is one."""
    return user.has_perm(permission, record) if record else user.has_perm(permission)


def may_decide(approval: models.Approval, user: AbstractUser) -> bool:
    """Tell whether a user may decide, as far as it is known before the decision."""
    if approval.status != models.Approval.Status.PENDING:
        return False
    if approval.four_eyes and user.pk == approval.run.started_by_id:
        return False
    return holds(user, approval.permission, approval.record)


def as_wire(approval: models.Approval, *, reader: AbstractUser) -> wire.Approval:
    """Return an approval as a person sees it."""
    call = approval.tool_call
    edited = approval.edited_arguments
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
        permission=approval.permission,
        record=str(approval.record) if approval.record else None,
        four_eyes=approval.four_eyes,
        may_decide=may_decide(approval, reader),
        edited_arguments=edited,
        changes=[] if edited is None else changes.between(approval.arguments, edited),
        input_schema=_input_schema(call.tool),
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        warned_at=approval.warned_at,
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


def _about_records_of(user: AbstractUser) -> list[UUID]:
    """Find the open questions about records that a user holds the permission for; only backends can tell."""
    asked = models.Approval.objects.filter(status=models.Approval.Status.PENDING).exclude(content_type=None)
    return [
        approval.pk
        for approval in asked.prefetch_related("record")
        if holds(user, approval.permission, approval.record)
    ]


def _input_schema(name: str) -> tool_wire.JsonSchema:
    tool = registry.declared().get(name)
    return tool.spec().input_schema if tool else {}
