"""Starts, cancels and continues runs.

Whoever changes a run holds its lock (`locked`), and takes it before any lock on its approvals, calls or
sessions. A dispatcher holds a message before it locks the message's run; nobody who holds a run waits for a
message that a dispatcher may hold. `move` alone changes a status; `models.run.LEGAL_MOVES` says which changes
there are.

A parked run goes on by this rule: an approval's `interrupt_id` is set exactly while its thread is known to
wait for it. The outcome of a segment sets them, a resume takes away those it answers. A run goes on when it
is `awaiting_approval` and at least one approval with an interrupt id is decided; what is decided before the
outcome was applied, or while a resume is on its way, is found when the next outcome is applied.
"""

import hashlib
import logging
import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
from django.contrib.auth.models import AbstractBaseUser, AbstractUser
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from mandate import exceptions, models, notifications, signals
from mandate.models.run import ACTIVE, ENDED, LEGAL_MOVES, ONE_ACTIVE
from mandate.services import mandates, notes, outbox
from shared_schemas import crashing, json_values
from shared_schemas.problems import ErrorCode, Failure, FieldProblem
from shared_schemas.runs import RunStatus
from shared_schemas.tools import Limits

logger = logging.getLogger(__name__)

MAX_INPUT_BYTES = 240 * 1024
"""Leaves room in a body of 256 KiB for what goes round it."""

SUBMIT = "run.submit"
RESUME = "run.resume"
CANCEL = "run.cancel"


def locked(run_id: uuid.UUID) -> models.Run:
    """Return the run, held against everybody else who changes it until the transaction ends.

    Raises:
        RequestRefused: NOT_FOUND; it may have been pruned since the caller knew of it.
    """
    with connection.cursor() as cursor:
        # Whoever shares a row's lock overtakes those who wait to have it alone. Behind this one they queue up,
        # so that a run which calls tools without a break can be cancelled.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [turn(run_id)])
    # Not a key lock: rows that refer to the run may be inserted meanwhile.
    try:
        return models.Run.objects.select_for_update(no_key=True).get(pk=run_id)
    except models.Run.DoesNotExist:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"There is no run {run_id}.") from None


def turn(run_id: uuid.UUID) -> int:
    """Return the advisory lock that is taken before a run's row, alone or shared as the row will be."""
    return int.from_bytes(run_id.bytes[:8], "big", signed=True)


def move(run: models.Run, status: RunStatus, *, failure: Failure | None = None) -> None:
    """Change the status of a locked run, and save the run whole.

    Raises:
        RequestRefused: ILLEGAL_TRANSITION.
    """
    if status not in LEGAL_MOVES[run.status]:
        raise exceptions.RequestRefused(
            ErrorCode.ILLEGAL_TRANSITION, f"A run that is {run.status!r} cannot become {status.value!r}."
        )
    _note_move(run, status, failure)
    run.status = status
    run.ended_at = timezone.now() if status in ENDED else None
    run.error_code = failure.code if failure else ""
    run.error_message = failure.message if failure else ""
    run.save()
    logger.info("run.moved run=%s status=%s segment=%s code=%s", run.pk, status, run.segment, run.error_code)
    notifications.notify(notifications.RUNS, str(run.pk))
    if run.is_ended:
        revoke_sessions(run)
        signals.run_ended.send(models.Run, run=run)


def _note_move(run: models.Run, status: RunStatus, failure: Failure | None) -> None:
    data: dict[str, Any] = {"from": run.status, "to": status, "segment": run.segment}
    if failure:
        data |= {"code": failure.code, "message": failure.message}
    notes.write(run.pk, notes.Kind.MOVED, data)


def begin(run: models.Run) -> None:
    """Note that a worker has taken a locked run up; for a running one, nothing."""
    if run.status != RunStatus.RUNNING:
        move(run, RunStatus.RUNNING)


def start(
    *,
    agent: models.Agent | str,
    input: Mapping[str, Any],  # noqa: A002 - the wire's word
    by: AbstractUser,
    model: str | None = None,
    thread_id: uuid.UUID | None = None,
    tools: list[str] | None = None,
    limits: Limits | None = None,
    comparison: models.Comparison | None = None,
    idempotency_key: str | None = None,
) -> models.Run:
    """Start a run of an agent, named or given, for a person. What returns is kept and will be delivered.

    `thread_id` continues the conversation of an earlier run of the same person and agent. With an
    `idempotency_key`, the same person's repeat of the same request returns the first one's run, `replayed`.

    Raises:
        RequestRefused: UNKNOWN_AGENT, FORBIDDEN, AGENT_PAUSED, INVALID_REQUEST, UNKNOWN_MODEL, BODY_TOO_LARGE,
            UNSTORABLE_VALUE,
            THREAD_BUSY, NOT_FOUND for a conversation that is not theirs, IDEMPOTENCY_KEY_REUSED.
    """
    known = agent if isinstance(agent, models.Agent) else _agent_named(agent)
    _check_may_start(known, by)
    _check_input(input)
    asked = [known.slug, input, model, str(thread_id), tools, limits and limits.model_dump(mode="json")]
    run = models.Run(
        agent=known,
        started_by_id=by.pk,
        input=dict(input),
        model=model or known.default_model,
        priority=known.priority,
        comparison=comparison,
        idempotency_key=idempotency_key,
        request_digest=hashlib.sha256(json_values.canonical(asked).encode()).hexdigest(),
    )
    if earlier := _repeated(run):
        return earlier
    if known.is_paused:
        raise exceptions.RequestRefused(ErrorCode.AGENT_PAUSED, f"The agent {known.slug!r} is paused.")
    mandates.check_model(run.model)
    run.tools = mandates.narrowed_tools(known, tools)
    run.limits = mandates.narrowed_limits(known, limits).model_dump(mode="json", exclude_none=True)
    mandates.check_prices(run)
    run.thread_id = thread_id or run.pk
    _check_conversation(run, continues=thread_id)
    return _insert(run)


@transaction.atomic
def cancel(run_id: uuid.UUID, *, by: AbstractBaseUser | None = None) -> models.Run:
    """Stop a run. After this has committed no tool call of it commits; of a cancelled run, nothing changes.

    `by` is the person who asked; nobody, where a program did.

    Raises:
        RequestRefused: ILLEGAL_TRANSITION, the run has ended otherwise; NOT_FOUND, it was pruned.
    """
    run = locked(run_id)
    if run.status != RunStatus.CANCELLED:
        move(run, RunStatus.CANCELLED)
        notes.write(run.pk, notes.Kind.CANCELLED, {}, by=by)
        cancel_approvals(run)
        outbox.write(CANCEL, key=f"{run.pk}:cancel", payload={}, run=run)
        crashing.point("cancel.before_commit")
    return run


def resume(run_id: uuid.UUID, *, by: AbstractBaseUser | None = None) -> models.Run:
    """Let a failed run go on from where it stopped; `by` is the person who asked, if it was one.

    A segment that never reached the agent service is submitted again under its own key: should it have
    arrived after all, it is not done twice.

    Raises:
        RequestRefused: ILLEGAL_TRANSITION; CONFLICT, the conversation has gone on without it;
            THREAD_BUSY, another run of the conversation is at work; NOT_FOUND, the run was pruned.
    """
    try:
        return _resume(run_id, by)
    except IntegrityError as error:
        _refuse_if_busy_by(error)
        raise


@transaction.atomic
def _resume(run_id: uuid.UUID, by: AbstractBaseUser | None) -> models.Run:
    run = locked(run_id)
    if run.status != RunStatus.FAILED:
        raise exceptions.RequestRefused(
            ErrorCode.ILLEGAL_TRANSITION, f"Only a failed run can be resumed; this one is {run.status!r}."
        )
    _check_nothing_followed(run)
    notes.write(run.pk, notes.Kind.RESUMED, {}, by=by)
    if run.agent_run_id is None:
        _submit_again(run)
    else:
        _next_segment(run, {"input": None if _input_was_kept(run) else run.input})
    return run


def continue_after_decision(run: models.Run) -> bool:
    """Let a parked run, locked by the caller, go on if an approval that its thread waits for is decided.

    Called in the transaction of every decision and expiry. Returns whether it goes on now.
    """
    if run.status != RunStatus.AWAITING_APPROVAL:
        return False
    decided = list(run.approvals.exclude(interrupt_id="").exclude(status=models.Approval.Status.PENDING))
    if not decided:
        return False
    _next_segment(run, {"resume": {approval.interrupt_id: "decided" for approval in decided}})
    run.approvals.filter(pk__in=[approval.pk for approval in decided]).update(interrupt_id="")
    return True


def revoke_sessions(run: models.Run) -> None:
    """Take every token of a run away."""
    run.sessions.filter(revoked_at=None).update(revoked_at=timezone.now())


def cancel_approvals(run: models.Run) -> None:
    """Withdraw the questions that nobody has answered."""
    pending = run.approvals.filter(status=models.Approval.Status.PENDING)
    pending.update(status=models.Approval.Status.CANCELLED, decided_at=timezone.now())


def segment_key(run: models.Run) -> str:
    """Return the idempotency key of the current segment's submission."""
    return f"{run.pk}:{run.segment}"


def _agent_named(slug: str) -> models.Agent:
    try:
        return models.Agent.objects.get(slug=slug)
    except models.Agent.DoesNotExist:
        raise exceptions.RequestRefused(ErrorCode.UNKNOWN_AGENT, f"There is no agent {slug!r}.") from None


def _check_input(given: Mapping[str, Any]) -> None:
    try:
        json_values.check_storable(given)
    except json_values.UnstorableValueError as error:
        at = FieldProblem(pointer=f"/input{error.pointer}", detail=error.reason)
        raise exceptions.RequestRefused(ErrorCode.UNSTORABLE_VALUE, str(error), [at]) from None
    if len(json_values.canonical(given).encode()) > MAX_INPUT_BYTES:
        raise exceptions.RequestRefused(
            ErrorCode.BODY_TOO_LARGE, f"An input may have {MAX_INPUT_BYTES} bytes at most."
        )


def _repeated(run: models.Run) -> models.Run | None:
    """Return the run that an earlier request with this one's key started."""
    if run.idempotency_key is None:
        return None
    same_key = models.Run.objects.filter(started_by_id=run.started_by_id, idempotency_key=run.idempotency_key)
    earlier = same_key.first()
    if earlier is None:
        return None
    if earlier.request_digest != run.request_digest:
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key was used for a different request."
        )
    earlier.replayed = True
    return earlier


def _check_conversation(run: models.Run, *, continues: uuid.UUID | None) -> None:
    if continues is None:
        return
    theirs = models.Run.objects.filter(
        thread_id=continues, started_by_id=run.started_by_id, agent_id=run.agent_id
    )
    if not theirs.exists():
        raise exceptions.RequestRefused(
            ErrorCode.NOT_FOUND, f"You have no conversation {continues} with the agent {run.agent.slug!r}."
        )


def _check_may_start(agent: models.Agent, by: AbstractUser) -> None:
    needed = agent.start_permission
    # Django's own backend says no to every permission on a record; another may grant it for this agent alone.
    if needed and not by.has_perm(needed) and not by.has_perm(needed, agent):
        raise exceptions.RequestRefused(
            ErrorCode.FORBIDDEN, f"Starting the agent {agent.slug!r} needs the permission {needed!r}."
        )


def _insert(run: models.Run) -> models.Run:
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            payload = {"segment": run.segment, "graph": run.agent.graph, "input": run.input}
            outbox.write(SUBMIT, key=segment_key(run), payload=payload, run=run)
            crashing.point("start.before_commit")
    except IntegrityError as error:
        # Another connection was quicker: with the same key, or in the same conversation.
        if earlier := _repeated(run):
            return earlier
        _refuse_if_busy_by(error)
        raise
    crashing.point("start.after_commit")
    return run


def _refuse_if_busy_by(error: IntegrityError) -> None:
    # Not looked up: by now the other run may have ended.
    cause = error.__cause__
    if isinstance(cause, psycopg.Error) and cause.diag.constraint_name == ONE_ACTIVE:
        raise _busy() from None


def _busy() -> exceptions.RequestRefused:
    return exceptions.RequestRefused(
        ErrorCode.THREAD_BUSY, "Another run of this conversation has not ended yet."
    )


def _check_nothing_followed(run: models.Run) -> None:
    others = models.Run.objects.filter(thread_id=run.thread_id, status__in=ACTIVE).exclude(pk=run.pk)
    if others.exists():
        raise _busy()
    later = models.Run.objects.filter(thread_id=run.thread_id, created_at__gt=run.created_at)
    if later.exists():
        raise exceptions.RequestRefused(
            ErrorCode.CONFLICT, "The conversation has gone on since this run failed; start a new one."
        )


def _input_was_kept(run: models.Run) -> bool:
    """Tell whether the thread took the input in, by whether its state is another than before the run."""
    before = (
        models.Run.objects.filter(thread_id=run.thread_id, created_at__lt=run.created_at)
        .order_by("-created_at")
        .values_list("final_state", flat=True)
        .first()
    )
    return (run.final_state or None) != (before or None)


def _submit_again(run: models.Run) -> None:
    move(run, RunStatus.PENDING)
    message = models.OutboxMessage.objects.get(key=segment_key(run))
    message.payload |= {"graph": run.agent.graph}
    outbox.redeliver(message)


def _next_segment(run: models.Run, what: dict[str, Any]) -> None:
    assert run.agent_run_id is not None, "a run parks or fails only after a segment was accepted"
    run.earlier_agent_runs.append(run.agent_run_id)
    run.agent_run_id = None
    run.segment += 1
    move(run, RunStatus.PENDING)
    payload = {"segment": run.segment, "graph": run.agent.graph, **what}
    outbox.write(RESUME, key=segment_key(run), payload=payload, run=run)
