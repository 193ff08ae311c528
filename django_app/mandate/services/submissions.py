"""Delivers a run's messages to the agent service."""

import uuid

from django.db import transaction

from mandate import agent_client, models, notifications
from mandate.services import outbox, runs
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.runs import RunStatus


def _give_up(message: models.OutboxMessage) -> None:
    """Fail the run whose segment could not be delivered; a person can resume it."""
    assert message.run_id is not None
    run = runs.locked(message.run_id)
    # A running one has arrived, whatever became of the answer.
    if run.segment == message.payload["segment"] and run.status == RunStatus.PENDING:
        detail = f"The agent service did not take the run. {message.last_error}"
        runs.move(run, RunStatus.FAILED, failure=Failure(code=ErrorCode.SUBMISSION_FAILED, message=detail))


@outbox.topic(runs.SUBMIT, give_up=_give_up)
@outbox.topic(runs.RESUME, give_up=_give_up)
def submit(message: models.OutboxMessage) -> None:
    """Submit a segment; one that was cancelled, or is known to have arrived, needs nothing.

    One that was cancelled in a worker's hands, before its submission was answered, is asked for by its key: the
    cancel comes behind, and needs the agent service's id.
    """
    run, payload = _run_of(message), message.payload
    if run.segment != payload["segment"] or run.agent_run_id is not None:
        return
    if run.is_ended and not _is_left_at_work(run, message):
        return
    agent_run_id = agent_client.submit(
        run,
        key=message.key,
        segment=payload["segment"],
        graph=payload["graph"],
        given=payload.get("input"),
        resume=payload.get("resume"),
    )
    crashing.point("submission.after_answer")
    _accepted(run.pk, segment=payload["segment"], agent_run_id=agent_run_id)


@outbox.topic(runs.CANCEL)
def cancel(message: models.OutboxMessage) -> None:
    """Stop the agent service's run; messages of a run come in order, so that its id is known."""
    run = _run_of(message)
    if run.agent_run_id is not None:
        agent_client.cancel(run, run.agent_run_id)


def _is_left_at_work(run: models.Run, message: models.OutboxMessage) -> bool:
    """Tell whether a worker took a cancelled run's segment up, though nobody was told that it had arrived."""
    begun = run.sessions.filter(created_at__gte=message.created_at)
    return run.status == RunStatus.CANCELLED and begun.exists()


def _run_of(message: models.OutboxMessage) -> models.Run:
    assert message.run_id is not None
    return models.Run.objects.select_related("started_by").get(pk=message.run_id)


@transaction.atomic
def _accepted(run_id: uuid.UUID, *, segment: int, agent_run_id: uuid.UUID) -> None:
    run = runs.locked(run_id)
    # The outcome may have been quicker than the answer, and a decision after it has begun the next segment.
    if run.segment == segment and run.agent_run_id is None:
        run.agent_run_id = agent_run_id
        run.save(update_fields=["agent_run_id", "updated_at"])
        notifications.notify(notifications.RUNS, str(run.pk))
