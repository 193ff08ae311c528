"""Answers tool calls: the mandate is checked, the key claimed, the tool run and its answer stored at once.

A write is one transaction. Only a tool's `prepare` step comes before it, after the same checks, so that
the transaction waits for no process and no network. A read runs in a transaction that cannot write.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from pydantic import JsonValue

from mandate import conf, exceptions, models
from mandate.selectors import approvals as selectors
from mandate.services import approvals, effects, grants, ledger
from mandate.tools import context as tool_context
from mandate.tools import declaration
from shared_schemas import crashing, json_values
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Effect, ToolCallAnswer, ToolCallRequest, ToolCallStatus

Status = models.ToolCall.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a worker."""

    token_hash: str
    tool: str
    key: str | None
    request: ToolCallRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An answer, and whether the same request was given it before."""

    answer: ToolCallAnswer
    is_replay: bool = False


def answer(call: Call) -> Outcome:
    """Do a call, or give the answer it got before.

    Raises:
        RequestRefused: one of the codes of the mandate, the key or the arguments; TOOL_FAILED.
        ToolRejected: a business rule says no.
    """
    grant = grants.read(call.token_hash)
    tool = grants.granted_tool(grant.run, call.tool)
    if tool.effect is Effect.READ:
        return Outcome(answer=_read(call, grant, tool))
    return _write(call, grant, tool)


def _read(call: Call, grant: grants.Grant, tool: declaration.Tool) -> ToolCallAnswer:
    arguments = effects.validate(tool, call.request.arguments)
    context = grant.context()
    prepared = (effects.prepare(tool, context, arguments),) if tool.prepare else ()
    ledger.count(grant.run, tool)
    with effects.guarded(tool, context), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        result = effects.perform(tool, context, arguments, *prepared)
        # Inside an outer transaction this ends the read-only part of it.
        transaction.set_rollback(True)
    return _capped(result)


def _write(call: Call, grant: grants.Grant, tool: declaration.Tool) -> Outcome:
    if call.key is None:
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_MISSING, f"The tool {tool.name!r} writes; send an Idempotency-Key."
        )
    arguments = effects.validate(tool, call.request.arguments)
    context = grant.context(key=call.key)
    row = ledger.draft(
        grant,
        tool,
        effects.canonical(arguments),
        key=call.key,
        tool_call_id=call.request.tool_call_id or "",
    )
    prepared = _prepared(tool, context, arguments, row)
    with effects.guarded(tool, context), transaction.atomic():
        if tool.prepare is not None:
            grants.granted_tool(grants.read(call.token_hash).run, tool.name)
        if ledger.claim(row):
            is_replay = False
            crashing.point("call.after_claim")
            ledger.count(grant.run, tool)
            _do(tool, context, arguments, row, prepared)
            crashing.point("call.before_commit")
        else:
            row, is_replay = _earlier(call, row)
    crashing.point("call.after_commit")
    return Outcome(answer=_stored(row), is_replay=is_replay)


def _prepared(
    tool: declaration.Tool, context: tool_context.Context, arguments: Any, row: models.ToolCall
) -> tuple[Any, ...] | None:
    if tool.prepare is None or tool.approval is not None:
        return ()
    if ledger.is_known(row):
        return None
    return (effects.prepare(tool, context, arguments),)


def _do(
    tool: declaration.Tool,
    context: tool_context.Context,
    arguments: Any,
    row: models.ToolCall,
    prepared: tuple[Any, ...] | None,
) -> None:
    if tool.approval is not None:
        approvals.ask(row, tool.approval, context, arguments)
        return
    if prepared is None:
        # The earlier call that made the step needless was declined meanwhile.
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, "An earlier call was being decided."
        )
    ledger.perform(row, tool, context, arguments, *prepared)


def _earlier(call: Call, row: models.ToolCall) -> tuple[models.ToolCall, bool]:
    if same := ledger.replayed(row):
        return same, True
    if repeat := ledger.repeated(row):
        return repeat, False
    grants.read(call.token_hash)
    raise exceptions.RequestRefused(
        ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, "The run is being changed; send the same again."
    )


def _stored(row: models.ToolCall) -> ToolCallAnswer:
    if row.status == Status.PENDING_APPROVAL:
        return ToolCallAnswer(
            status=ToolCallStatus.PENDING_APPROVAL,
            tool_call=row.pk,
            approval=selectors.as_request(row.approval, row),
        )
    assert row.response is not None, "a constraint of the table"
    if row.status == Status.REFUSED:
        raise exceptions.RequestRefused(ErrorCode(row.response["code"]), row.response["detail"])
    return ToolCallAnswer.model_validate(row.response)


def _capped(result: JsonValue) -> ToolCallAnswer:
    largest = conf.settings().read_result_bytes
    text = json_values.canonical(result).encode()
    if len(text) <= largest:
        return ToolCallAnswer(status=ToolCallStatus.SUCCEEDED, result=result)
    return ToolCallAnswer(
        status=ToolCallStatus.SUCCEEDED,
        result=text[:largest].decode(errors="ignore"),
        truncated=True,
        note=f"The result has {len(text)} bytes; these are the first {largest} of its JSON. Ask for less.",
    )
