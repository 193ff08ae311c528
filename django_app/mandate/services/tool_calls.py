"""Answers tool calls: the mandate is checked, the key claimed, the tool run and its answer stored at once.

A write is one transaction. Only a tool's `prepare` step comes before it, after the same checks, so that
the transaction waits for no process and no network. A read runs in a transaction that cannot write.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from mandate import exceptions, models
from mandate.selectors import approvals as selectors
from mandate.services import approvals, effects, grants, ledger, refusals, results
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

    text: str
    """JSON of a `ToolCallAnswer`: to the letter what every repeat of the request is given."""

    is_pending: bool = False
    is_replay: bool = False

    @property
    def answer(self) -> ToolCallAnswer:
        return ToolCallAnswer.model_validate_json(self.text)


def answer(call: Call) -> Outcome:
    """Do a call, or give the answer it got before. A call that is refused is noted in its run's story.

    Raises:
        RequestRefused: one of the codes of the mandate, the key or the arguments; TOOL_FAILED.
        ToolRejected: a business rule says no.
    """
    try:
        return _answer(call)
    except exceptions.MandateError as refusal:
        arguments = call.request.arguments
        refusals.keep_call(
            call.token_hash, tool=call.tool, key=call.key, arguments=arguments, refusal=refusal
        )
        raise


def _answer(call: Call) -> Outcome:
    grant = grants.read(call.token_hash, key=call.key)
    tool = grant.tool(call.tool)
    if tool.effect is Effect.READ:
        return Outcome(text=_text(_read(call, grant, tool)))
    return _write(call, grant, tool)


def _read(call: Call, grant: grants.Grant, tool: declaration.Tool) -> ToolCallAnswer:
    arguments = effects.validate(tool, call.request.arguments)
    context = grant.context(tool)
    prepared = (effects.prepare(tool, context, arguments),) if tool.prepare else ()
    with effects.guarded(tool, context), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        result = effects.perform(tool, context, arguments, *prepared)
        # Inside an outer transaction this ends the read-only part of it.
        transaction.set_rollback(True)
    # Last, for one that failed counts as nothing.
    ledger.count(grant.run, tool)
    return results.of_read(result)


def _write(call: Call, grant: grants.Grant, tool: declaration.Tool) -> Outcome:
    if call.key is None:
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_MISSING, f"The tool {tool.name!r} writes; send an Idempotency-Key."
        )
    arguments = effects.validate(tool, call.request.arguments)
    context = grant.context(tool, key=call.key)
    row = ledger.draft(
        grant,
        tool,
        effects.canonical(arguments),
        key=call.key,
        tool_call_id=call.request.tool_call_id or "",
    )
    if grant.key_is_known and (same := _replayed(tool, context, row)):
        return _outcome(same, is_replay=True)
    prepared = _prepared(tool, context, arguments, row)
    with effects.guarded(tool, context), transaction.atomic():
        if tool.prepare is not None:
            grants.read(call.token_hash).tool(tool.name)
        if ledger.claim(row):
            is_replay = False
            crashing.point("call.after_claim")
            ledger.count(grant.run, tool)
            _do(tool, context, arguments, row, prepared)
            crashing.point("call.before_commit")
        else:
            row, is_replay = _earlier(call, row)
    crashing.point("call.after_commit")
    return _outcome(row, is_replay=is_replay)


def _replayed(
    tool: declaration.Tool, context: tool_context.Context, row: models.ToolCall
) -> models.ToolCall | None:
    # One statement is a transaction of its own; what is known already needs no claim.
    with effects.guarded(tool, context):
        return ledger.replayed(row)


def _outcome(row: models.ToolCall, *, is_replay: bool) -> Outcome:
    is_pending = row.status == Status.PENDING_APPROVAL
    return Outcome(text=_stored(row), is_pending=is_pending, is_replay=is_replay)


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
    grants.read(call.token_hash).tool(call.tool)
    raise exceptions.RequestRefused(
        ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, "The run is being changed; send the same again."
    )


def _stored(row: models.ToolCall) -> str:
    if row.status == Status.PENDING_APPROVAL:
        return _text(
            ToolCallAnswer(
                status=ToolCallStatus.PENDING_APPROVAL,
                tool_call=row.pk,
                approval=selectors.as_request(row.approval, row),
            )
        )
    assert row.response is not None, "a constraint of the table"
    if row.status == Status.REFUSED:
        raise exceptions.RequestRefused(ErrorCode(row.response["code"]), row.response["detail"])
    return json_values.text(row.response)


def _text(answer: ToolCallAnswer) -> str:
    return json_values.text(answer.model_dump(mode="json", by_alias=True))
