"""Reads approvals: who may see them, and how they look on the wire."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db.models import Model, Q, QuerySet, prefetch_related_objects

from mandate import exceptions, models
from mandate.selectors import changes
from mandate.tools import registry
from shared_schemas import runs as wire
from shared_schemas import tools as tool_wire
from shared_schemas.problems import ErrorCode

MOST_LOOKED_AT = 50
"""So many open questions are looked at to count those that wait for somebody."""

_PENDING = models.Approval.Status.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many open questions somebody may decide."""

    count: int
    is_all: bool
    """All of them were looked at."""


def waiting_for(user: AbstractUser) -> Waiting:
    """Count the open questions that a user may decide, in one query however many there are.

    Whether somebody holds a permission for a single record only the authentication backends can tell, one
    record at a time. So no more than `MOST_LOOKED_AT` questions are looked at, those that expire first; where
    some of them are about records, each kind of record takes one query more, and what the backends ask.
    """
    asked = models.Approval.objects.filter(status=_PENDING).exclude(four_eyes=True, run__started_by=user.pk)
    if not user.is_superuser:
        held = Q(content_type=None, permission__in=user.get_all_permissions())
        asked = asked.filter(held | Q(content_type__isnull=False))
    first = list(
        asked.only("permission", "content_type", "object_id").order_by("expires_at")[: MOST_LOOKED_AT + 1]
    )
    looked_at = first[:MOST_LOOKED_AT]
    about_records = [] if user.is_superuser else [one for one in looked_at if one.content_type_id]
    prefetch_related_objects(about_records, "record")
    others = sum(not holds(user, one.permission, one.record) for one in about_records)
    return Waiting(count=len(looked_at) - others, is_all=len(first) <= MOST_LOOKED_AT)


def find(approval_id: UUID, *, user: AbstractUser) -> models.Approval:
    """Return an approval that a user may see.

    Raises:
        RequestRefused: NOT_FOUND.
    """
    found = _visible_to(user, among=models.Approval.objects.filter(pk=approval_id)).first()
    if found is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, "There is no such approval.")
    return found


def visible_to(user: AbstractUser) -> QuerySet[models.Approval]:
    """Return the approvals of the user's own runs, those the user decided, and those the user may decide."""
    return _visible_to(user, among=models.Approval.objects.all())


def _visible_to(user: AbstractUser, *, among: QuerySet[models.Approval]) -> QuerySet[models.Approval]:
    related = ("tool_call", "run__agent__user", "run__started_by", "decided_by")
    approvals = among.select_related(*related).prefetch_related("record")
    if user.is_active and user.is_superuser:
        return approvals
    return approvals.filter(
        Q(run__started_by=user)
        | Q(decided_by=user)
        | Q(content_type=None, permission__in=user.get_all_permissions())
        | Q(pk__in=_about_records_of(user, among))
    )


def holds(user: AbstractUser, permission: str, record: Model | None) -> bool:
    """Tell whether a user holds a permission, for a record where there is one."""
    return user.has_perm(permission, record) if record else user.has_perm(permission)


def may_decide(approval: models.Approval, user: AbstractUser) -> bool:
    """Tell whether a user may decide, as far as it is known before the decision."""
    if approval.status != _PENDING:
        return False
    if approval.four_eyes and user.pk == approval.run.started_by_id:
        return False
    return holds(user, approval.permission, approval.record)


def open_about(run_ids: Collection[UUID], user: AbstractUser) -> QuerySet[models.Approval]:
    """Return the open questions of some runs that a user may see."""
    return _visible_to(user, among=models.Approval.objects.filter(run__in=run_ids, status=_PENDING))


def open_in(run: models.Run, user: AbstractUser) -> list[tuple[models.Approval, bool]]:
    """Return the open questions of a run that `audit.detailed` read, and whether the user may decide each.

    Whoever may see a run sees the questions that they started or may decide.
    """
    pending = [approval for approval in run.approvals.all() if approval.status == _PENDING]
    prefetch_related_objects([one for one in pending if one.content_type_id], "record")
    judged = [(approval, may_decide(approval, user)) for approval in pending]
    sees_all = user.is_superuser or user.pk == run.started_by_id
    return [(approval, may) for approval, may in judged if may or sees_all]


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


def _about_records_of(user: AbstractUser, among: QuerySet[models.Approval]) -> list[UUID]:
    """Find the open questions about records that a user holds the permission for; only backends can tell."""
    asked = among.filter(status=_PENDING).exclude(content_type=None)
    return [
        approval.pk
        for approval in asked.prefetch_related("record")
        if holds(user, approval.permission, approval.record)
    ]


def _input_schema(name: str) -> tool_wire.JsonSchema:
    tool = registry.declared().get(name)
    return tool.spec().input_schema if tool else {}
