"""Keeps what was refused and left no row behind; each in a transaction of its own, after the refused one."""

from django.contrib.auth.models import AbstractBaseUser
from pydantic import JsonValue

from mandate import exceptions, models
from mandate.services import notes
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision

_TOLD_ELSEWHERE = {
    # The ledger has a row of these,
    ErrorCode.REPEATED_CALL,
    ErrorCode.LOOP_DETECTED,
    # and this one is asked to wait.
    ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS,
}


def keep_call(
    token_hash: str,
    *,
    tool: str,
    key: str | None,
    arguments: dict[str, JsonValue] | None,
    refusal: exceptions.MandateError,
) -> None:
    """Note a refused call in the run that its token belongs to; an unknown token tells of no run."""
    if refusal.code in _TOLD_ELSEWHERE:
        return
    session = models.ToolSession.objects.filter(token_hash=token_hash).only("run_id", "epoch").first()
    if session is not None:
        call: dict[str, JsonValue] = {"tool": tool, "key": key, "arguments": arguments}
        told: dict[str, JsonValue] = {"epoch": session.epoch, "code": refusal.code, "detail": refusal.detail}
        notes.write(session.run_id, notes.Kind.CALL_REFUSED, call | told)


def keep_decision(
    approval: models.Approval, decision: Decision, by: AbstractBaseUser, refusal: exceptions.MandateError
) -> None:
    """Note who decided what, and why it could not be done; the question stays open."""
    asked: dict[str, JsonValue] = {"approval": str(approval.pk), "decision": decision.decision}
    told: dict[str, JsonValue] = {"code": refusal.code, "detail": refusal.detail}
    notes.write(approval.run_id, notes.Kind.DECISION_REFUSED, asked | told, by=by)
