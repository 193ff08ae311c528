"""The rows of the ledger: claimed, finished, found again, counted.

Everything here belongs to its caller's transaction. Locks are taken in one order, by calls, decisions,
cancels and takeovers alike: the run's row (shared by calls, alone by whoever changes the run), its session,
the approval, the ledger's rows, the counts, and last what the tools themselves touch.
"""

import functools
import hashlib
import json
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from pydantic import JsonValue

from mandate import conf, exceptions, models
from mandate.selectors import usage
from mandate.services import effects, grants, outbox, results, runs
from mandate.tools import context as tool_context
from mandate.tools import declaration
from shared_schemas import crashing, json_values
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus
from shared_schemas.tools import Effect, Limits, ToolCallAnswer, ToolCallStatus

Status = models.ToolCall.Status

REPLAYED_REPEATS = 2
REFUSED_REPEATS = 4

# The setting is joined to what is locked, so that it is in force before anything waits.
_CLAIM = """
    WITH patience AS MATERIALIZED (
        SELECT set_config('lock_timeout', %s, true)
    ), turn AS MATERIALIZED (
        SELECT pg_advisory_xact_lock_shared(%s) FROM patience
    ), held AS (
        SELECT run.limits FROM turn, mandate_run AS run
        WHERE run.id = %s AND run.status = %s AND run.epoch = %s AND %s = ANY(run.tools)
        FOR SHARE OF run
    ), claimed AS (
        INSERT INTO mandate_toolcall ({columns}) SELECT {values} FROM held ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT held.limits FROM held, claimed
"""

_FINISH = """
    UPDATE mandate_toolcall SET status = %s, response = %s::json, finished_at = %s, repeat_guard = %s WHERE id = %s
"""

_REPLAY = """
    WITH patience AS MATERIALIZED (
        SELECT set_config('lock_timeout', %(timeout)s, true)
    )
    UPDATE mandate_toolcall AS call SET
        replay_count = call.replay_count + 1,
        replayed_at = %(now)s,
        replays = jsonb_build_object(%(epoch)s::text, %(now)s) || call.replays
    FROM patience
    WHERE call.run_id = %(run)s AND call.key = %(key)s AND call.fingerprint = %(fingerprint)s
    RETURNING call.*
"""

_COUNT = """
    INSERT INTO mandate_callcount AS counted (run_id, tool_calls, writes, per_tool)
    SELECT %(run)s, 1, %(write)s, jsonb_build_object(%(tool)s::text, 1)
    WHERE COALESCE(%(tool_calls)s::bigint, 1) > 0
      AND COALESCE(%(writes)s::bigint, %(write)s) >= %(write)s
      AND COALESCE(%(of_tool)s::bigint, 1) > 0
    ON CONFLICT (run_id) DO UPDATE SET
        tool_calls = counted.tool_calls + 1,
        writes = counted.writes + %(write)s,
        per_tool = counted.per_tool || jsonb_build_object(
            %(tool)s::text, COALESCE((counted.per_tool ->> %(tool)s)::int, 0) + 1
        )
    WHERE (%(tool_calls)s::bigint IS NULL OR counted.tool_calls < %(tool_calls)s)
      AND (%(writes)s::bigint IS NULL OR counted.writes + %(write)s <= %(writes)s)
      AND (%(of_tool)s::bigint IS NULL OR COALESCE((counted.per_tool ->> %(tool)s)::int, 0) < %(of_tool)s)
"""

_REPEAT_NOTE = (
    "This call was made before with the same arguments. This is the answer it got; nothing was done again."
)


def draft(
    grant: grants.Grant,
    tool: declaration.Tool,
    arguments: dict[str, JsonValue],
    *,
    key: str,
    tool_call_id: str,
) -> models.ToolCall:
    """Return the row of a call, not yet written."""
    digest = _sha256([tool.name, arguments])
    users = [str(grant.agent_user.pk), str(grant.run.started_by_id)]
    return models.ToolCall(
        run=grant.run,
        session=grant.session,
        key=key,
        tool=tool.name,
        tool_version=tool.version,
        arguments=arguments,
        arguments_digest=digest,
        fingerprint=_sha256([tool.name, tool.version, arguments, *users]),
        repeat_guard=digest if tool.repeat is declaration.Repeat.REPLAY else None,
        status=Status.PENDING_APPROVAL if tool.approval else Status.CLAIMED,
        agent_user_id=grant.agent_user.pk,
        acting_for_id=grant.run.started_by_id,
        epoch=grant.session.epoch,
        tool_call_id=tool_call_id,
    )


def claim(call: models.ToolCall) -> bool:
    """Write a row unless its run may not call it any more, its key is taken or it repeats an earlier call.

    One statement locks the run, sees that it is still active, held by the same worker and allowed the tool,
    and inserts. What the run may use is read with the lock.
    It waits for another transaction that is inserting the same, as long as the setting `LOCK_TIMEOUT` says.
    """
    fields = models.ToolCall._meta.concrete_fields  # noqa: SLF001 - Django's documented API
    values = [field.get_db_prep_save(field.pre_save(call, add=True), connection) for field in fields]
    with connection.cursor() as cursor:
        held = (runs.turn(call.run_id), call.run_id, RunStatus.RUNNING, call.epoch, call.tool)
        cursor.execute(_claim_sql(), [_patience(), *held, *values])
        claimed = cursor.fetchone()
    if claimed:
        # They may have been changed since the call came in.
        call.run.limits = json.loads(claimed[0])
    return bool(claimed)


def is_known(call: models.ToolCall) -> bool:
    """Tell, without waiting, whether a call with this key or for the same thing was answered already."""
    same = Q(key=call.key)
    if call.repeat_guard is not None:
        same |= Q(repeat_guard=call.repeat_guard)
    return models.ToolCall.objects.filter(same, run_id=call.run_id).exists()


def replayed(call: models.ToolCall) -> models.ToolCall | None:
    """Return the row that has the key of `call` already, and count that it was asked for again.

    Raises:
        RequestRefused: IDEMPOTENCY_KEY_REUSED, the key was used for something else.
    """
    same = {"run": call.run_id, "key": call.key, "fingerprint": call.fingerprint}
    asked = same | {"now": timezone.now(), "epoch": call.epoch, "timeout": _patience()}
    earlier = next(iter(models.ToolCall.objects.raw(_REPLAY, asked)), None)
    if earlier is None and models.ToolCall.objects.filter(run_id=call.run_id, key=call.key).exists():
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key was used for a different call."
        )
    return earlier


def repeated(call: models.ToolCall) -> models.ToolCall | None:
    """Write that `call` repeats an earlier one under a new key, and return the row with its answer."""
    if call.repeat_guard is None:
        return None
    same = models.ToolCall.objects.select_for_update(no_key=True)
    original = same.filter(run_id=call.run_id, repeat_guard=call.repeat_guard).first()
    if original is None:
        return None
    count = original.repeats.count() + 1
    call.repeat_of, call.repeat_guard = original, None
    call.finished_at = timezone.now()
    if count > REPLAYED_REPEATS:
        call.status, call.response = Status.REFUSED, _refusal_of_repeat(count)
    else:
        call.status, call.response = Status.REPEATED, _answer_of_repeat(original)
    return call if claim(call) else None


def perform(
    call: models.ToolCall,
    tool: declaration.Tool,
    context: tool_context.Context,
    arguments: Any,
    *prepared: Any,
    note: str | None = None,
) -> None:
    """Do a claimed call, and store its answer and what it touched."""
    result = effects.perform(tool, context, arguments, *prepared)
    crashing.point("effect.before_answer")
    finish(call, results.of_write(call, result, note=note))
    link(call, context)
    outbox.send(call, context)


def finish(call: models.ToolCall, answer: ToolCallAnswer) -> None:
    """Store the answer of a call; it is given to every repeat of the same request."""
    call.status = Status(answer.status)
    call.response = answer.model_dump(mode="json", by_alias=True)
    call.finished_at = timezone.now()
    if answer.status is ToolCallStatus.DECLINED:
        # Asked again after the cause was mended, the same call is a new question to a person.
        call.repeat_guard = None
    with connection.cursor() as cursor:
        response = json_values.text(call.response)
        cursor.execute(_FINISH, [call.status, response, call.finished_at, call.repeat_guard, call.pk])


def link(call: models.ToolCall, context: tool_context.Context) -> None:
    """Keep which records a call touched; what it deleted can no longer be linked to."""
    kept = [record for record in context.touched if record.pk is not None]
    if not kept:
        return
    found = {(ContentType.objects.get_for_model(record), str(record.pk)) for record in kept}
    models.ToolCallLink.objects.bulk_create(
        [models.ToolCallLink(tool_call=call, content_type=kind, object_id=pk) for kind, pk in found],
        ignore_conflicts=True,
    )


def count(run: models.Run, tool: declaration.Tool) -> None:
    """Count a call against the limits of its run; where none asks for it, nothing is counted.

    The row stays locked until the transaction ends, so that parallel calls cannot overspend.

    Raises:
        RequestRefused: LIMIT_SPENT.
    """
    if not run.limits:
        return
    limits = Limits.model_validate(run.limits)
    _check_time(run, limits)
    write = int(tool.effect is Effect.WRITE)
    asked = {
        "tool_calls": limits.tool_calls,
        "writes": limits.writes if write else None,
        "of_tool": limits.calls_per_tool.get(tool.name),
    }
    if all(limit is None for limit in asked.values()):
        return
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"run": run.pk, "tool": tool.name, "write": write, **asked})
        if cursor.rowcount == 0:
            raise exceptions.RequestRefused(ErrorCode.LIMIT_SPENT, _spent(run, tool, limits))


def _check_time(run: models.Run, limits: Limits) -> None:
    if limits.wall_clock is None:
        return
    worked = usage.worked(run).total_seconds()
    if worked >= limits.wall_clock:
        raise exceptions.RequestRefused(
            ErrorCode.LIMIT_SPENT,
            f"A limit of the run is used up: it has worked {worked:.0f} of {limits.wall_clock} seconds.",
        )


def _patience() -> str:
    return f"{int(conf.settings().lock_timeout.total_seconds() * 1000)}ms"


def _spent(run: models.Run, tool: declaration.Tool, limits: Limits) -> str:
    used = models.CallCount.objects.filter(run=run).first() or models.CallCount(run=run)
    figures = [
        ("tool calls", used.tool_calls, limits.tool_calls),
        ("writes", used.writes, limits.writes),
        (f"calls of {tool.name!r}", used.per_tool.get(tool.name, 0), limits.calls_per_tool.get(tool.name)),
    ]
    spent = [
        f"{count} of {limit} {what}" for what, count, limit in figures if limit is not None and count >= limit
    ]
    return f"A limit of the run is used up: {', '.join(spent)}."


def _answer_of_repeat(original: models.ToolCall) -> dict[str, Any]:
    if original.status == Status.PENDING_APPROVAL:
        note = "The same call already waits for a person's decision; it was not asked twice."
        answer = ToolCallAnswer(status=ToolCallStatus.DECLINED, note=note)
    else:
        earlier = ToolCallAnswer.model_validate(original.response)
        notes = [_REPEAT_NOTE] + ([earlier.note] if earlier.note else [])
        answer = earlier.model_copy(update={"note": " ".join(notes)})
    return answer.model_dump(mode="json", by_alias=True)


def _refusal_of_repeat(count: int) -> dict[str, Any]:
    is_loop = count > REFUSED_REPEATS
    code = ErrorCode.LOOP_DETECTED if is_loop else ErrorCode.REPEATED_CALL
    return {
        "code": code,
        "detail": f"This call was repeated {count} times with the same arguments; its answer will not change.",
    }


@functools.cache
def _claim_sql() -> str:
    fields = models.ToolCall._meta.concrete_fields  # noqa: SLF001 - Django's documented API
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    return _CLAIM.format(columns=columns, values=", ".join(["%s"] * len(fields)))


def _sha256(value: Any) -> str:
    return hashlib.sha256(json_values.canonical(value).encode()).hexdigest()
