"""Asks people, and does what they decide.

An approval runs its call in the transaction that records the decision, with exactly the arguments that
were shown: both commit, or the question stays open. The order of locks is that of `services.ledger`.
"""

import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from pydantic import JsonValue

from mandate import conf, exceptions, models
from mandate.selectors import approvals as selectors
from mandate.services import deciders, effects, grants, ledger, outbox, refusals, runs
from mandate.tools import context as tool_context
from mandate.tools import declaration, registry, topics
from shared_schemas import crashing, json_values
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import ToolCallAnswer, ToolCallStatus

logger = logging.getLogger(__name__)

Status = models.Approval.Status

EXPIRING = "approval.expiring"
"""Topic of the message about a question whose time is running out, for a project that declares it."""


def ask(
    call: models.ToolCall, rule: declaration.ApprovalRule, context: tool_context.Context, arguments: Any
) -> models.Approval:
    """Write the question that a claimed call waits for."""
    lifetime = rule.expires_after or conf.settings().approval_lifetime
    expires_at = timezone.now() + lifetime
    approval = models.Approval.objects.create(
        run_id=call.run_id,
        tool_call=call,
        permission=rule.permission,
        four_eyes=rule.four_eyes,
        message=rule.message(context, arguments) if rule.message else _plain_message(call),
        arguments=call.arguments,
        expires_at=expires_at,
        warn_at=expires_at - min(conf.settings().approval_warning, lifetime / 2),
        **_reference(rule.record(context, arguments) if rule.record else None),
    )
    ledger.link(call, context)
    crashing.point("approval.after_question")
    return approval


def decide(approval_id: uuid.UUID, decision: Decision, *, by: AbstractUser) -> models.Approval:
    """Approve, edit or reject a call. The same decision again, by the same person, changes nothing.

    Raises:
        RequestRefused: NOT_FOUND, FORBIDDEN, ALREADY_DECIDED, APPROVAL_EXPIRED, RUN_NOT_ACTIVE, CONFLICT,
            the codes of a mandate, INVALID_ARGUMENTS of an edit, TOOL_FAILED.
        ToolRejected: a business rule refuses the call; the approval stays open.
    """
    approval = selectors.find(approval_id, user=by)
    if approval.status != Status.PENDING:
        return _decided(approval, decision, by)
    try:
        if decision.decision == "reject":
            return _reject(approval, decision, by)
        return _approve(approval, decision, by)
    except exceptions.MandateError as refusal:
        refusals.keep_decision(approval, decision, by, refusal)
        raise


def expire(now: datetime | None = None) -> int:
    """Close the questions that nobody answered in time; return how many."""
    moment = now or timezone.now()
    due = models.Approval.objects.filter(status=Status.PENDING, expires_at__lte=moment)
    return sum(_by_itself(_expire, pk, run_id, moment) for pk, run_id in due.values_list("pk", "run_id"))


def warn(now: datetime | None = None) -> int:
    """Tell of questions whose time is running out, each once; return how many."""
    moment = now or timezone.now()
    due = models.Approval.objects.filter(status=Status.PENDING, warned_at=None, warn_at__lte=moment)
    return sum(_by_itself(_warn, approval, moment) for approval in due.select_related("tool_call"))


def _by_itself(act: Callable[..., bool], *about: Any) -> bool:
    try:
        return act(*about)
    except Exception:
        if not connection.is_usable():
            raise
        # The others do not wait for one that a project's receiver refuses, or that is deleted at that moment.
        logger.exception("approval.not_looked_after approval=%s", about[0])
        return False


@transaction.atomic
def _reject(known: models.Approval, decision: Decision, by: AbstractUser) -> models.Approval:
    approval = _locked(known)
    if approval.status != Status.PENDING:
        return _decided(approval, decision, by)
    _check_open(approval)
    deciders.check(approval, by)
    _close(approval, Status.REJECTED, decision, by)
    ledger.finish(approval.tool_call, _declined(approval, "A person rejected this call.", decision.comment))
    runs.continue_after_decision(approval.run)
    crashing.point("rejection.before_commit")
    return approval


def _approve(known: models.Approval, decision: Decision, by: AbstractUser) -> models.Approval:
    _check_open(known)
    deciders.check(known, by)
    tool, context, arguments = _call_of(known, decision, by)
    with effects.guarded(tool, context):
        deciders.check_target(by, tool, context, arguments)
    prepared = (effects.prepare(tool, context, arguments),) if tool.prepare else ()
    with effects.guarded(tool, context), transaction.atomic():
        approval = _locked(known)
        if approval.status != Status.PENDING:
            return _decided(approval, decision, by)
        _check_open(approval)
        deciders.check(approval, by)
        deciders.check_target(by, tool, context, arguments)
        grants.check_agent(approval.run)
        grants.granted_tool(approval.run, tool.name)
        edited = effects.canonical(arguments) if decision.decision == "edit" else None
        _close(approval, Status.APPROVED, decision, by, edited=edited)
        crashing.point("approval.before_effect")
        note = None if approval.edited_arguments is None else _edit_note(approval)
        ledger.perform(approval.tool_call, tool, context, arguments, *prepared, note=note)
        crashing.point("approval.after_effect")
        runs.continue_after_decision(approval.run)
        crashing.point("approval.before_commit")
    crashing.point("approval.after_commit")
    return approval


@transaction.atomic
def _warn(approval: models.Approval, now: datetime) -> bool:
    still_due = models.Approval.objects.filter(pk=approval.pk, status=Status.PENDING, warned_at=None)
    if not still_due.update(warned_at=now):
        return False
    if EXPIRING in topics.declared():
        # Without its run: whoever cannot be told holds up none of the run's own messages.
        payload = {
            "approval_id": str(approval.pk),
            "run_id": str(approval.run_id),
            "tool": approval.tool_call.tool,
            "message": approval.message,
            "expires_at": approval.expires_at.isoformat(),
        }
        outbox.write(EXPIRING, key=f"{EXPIRING}:{approval.pk}", payload=payload)
    return True


@transaction.atomic
def _expire(approval_id: uuid.UUID, run_id: uuid.UUID, now: datetime) -> bool:
    run = runs.locked(run_id)
    approval = models.Approval.objects.select_for_update(no_key=True).get(pk=approval_id)
    if approval.status != Status.PENDING:
        return False
    approval.status, approval.decided_at = Status.EXPIRED, now
    approval.save(update_fields=["status", "decided_at"])
    ledger.finish(approval.tool_call, _declined(approval, "Nobody decided about this call in time."))
    runs.continue_after_decision(run)
    return True


def _locked(known: models.Approval) -> models.Approval:
    run = runs.locked(known.run_id)
    related = ("tool_call", "run__agent__user", "run__started_by")
    locked = models.Approval.objects.select_for_update(of=("self",), no_key=True).select_related(*related)
    approval = locked.get(pk=known.pk)
    run.agent, run.started_by = approval.run.agent, approval.run.started_by
    approval.run = run
    return approval


def _check_open(approval: models.Approval) -> None:
    if approval.expires_at <= timezone.now():
        raise exceptions.RequestRefused(ErrorCode.APPROVAL_EXPIRED, "Nobody decided in time.")
    if approval.run.status in {RunStatus.CANCELLED, RunStatus.COMPLETED}:
        raise exceptions.RequestRefused(
            ErrorCode.RUN_NOT_ACTIVE,
            f"The run is {approval.run.status!r}; nothing of it can be done any more.",
        )


def _call_of(
    approval: models.Approval, decision: Decision, by: AbstractUser
) -> tuple[declaration.Tool, tool_context.Context, Any]:
    run = approval.run
    tool = grants.granted_tool(run, approval.tool_call.tool)
    context = tool_context.Context(
        run_id=run.pk,
        agent_user=run.agent.user,
        acting_for=run.started_by,
        approved_by=by,
        key=approval.tool_call.key,
        records=tool.records,
    )
    arguments = effects.validate(tool, _asked(approval, decision))
    if decision.decision == "approve" and not _same(effects.canonical(arguments), approval.arguments):
        raise exceptions.RequestRefused(
            ErrorCode.CONFLICT, f"The tool {tool.name!r} has changed since it was asked for; edit or reject."
        )
    return tool, context, arguments


def _asked(approval: models.Approval, decision: Decision) -> dict[str, JsonValue]:
    if decision.arguments is not None:
        return decision.arguments
    shown: dict[str, JsonValue] = approval.arguments
    return shown


def _close(
    approval: models.Approval,
    status: Status,
    decision: Decision,
    by: AbstractUser,
    *,
    edited: dict[str, JsonValue] | None = None,
) -> None:
    approval.status = status
    approval.decided_by_id = by.pk
    approval.decided_at = timezone.now()
    approval.comment = decision.comment
    approval.edited_arguments = edited
    approval.save(update_fields=["status", "decided_by", "decided_at", "comment", "edited_arguments"])


def _decided(approval: models.Approval, decision: Decision, by: AbstractUser) -> models.Approval:
    status = Status.REJECTED if decision.decision == "reject" else Status.APPROVED
    same = (approval.status, approval.decided_by_id) == (status, by.pk)
    if same and _is_same_edit(approval, decision):
        return approval
    raise exceptions.RequestRefused(
        ErrorCode.ALREADY_DECIDED, f"This approval is {approval.status!r} already."
    )


def _is_same_edit(approval: models.Approval, decision: Decision) -> bool:
    if decision.arguments is None or approval.edited_arguments is None:
        return decision.arguments is None and approval.edited_arguments is None
    tool = registry.declared().get(approval.tool_call.tool)
    if tool is None:
        return False
    try:
        asked = effects.validate(tool, decision.arguments)
    except exceptions.RequestRefused:
        return False
    return _same(effects.canonical(asked), approval.edited_arguments)


def _same(one: JsonValue, other: JsonValue) -> bool:
    # Python holds 1, 1.0 and True to be equal; to a tool they are not.
    return json_values.canonical(one) == json_values.canonical(other)


def _reference(record: Model | None) -> dict[str, Any]:
    if record is None:
        return {}
    return {"content_type": ContentType.objects.get_for_model(record), "object_id": str(record.pk)}


def _declined(approval: models.Approval, reason: str, comment: str = "") -> ToolCallAnswer:
    note = f"{reason} They wrote: {comment}" if comment else reason
    return ToolCallAnswer(status=ToolCallStatus.DECLINED, tool_call=approval.tool_call_id, note=note)


def _edit_note(approval: models.Approval) -> str:
    done = json_values.canonical(approval.edited_arguments)
    return f"A person changed the arguments before approving. What was done: {done}"


def _plain_message(call: models.ToolCall) -> str:
    return f"{call.run.agent.name} asks to call {call.tool!r} for {call.run.started_by.get_username()}."
