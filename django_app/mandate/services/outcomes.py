"""Applies what became of a run's segment, whoever brought the news."""

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from mandate import agent_client, models
from mandate.models.run import AT_WORK
from mandate.selectors import catalogue
from mandate.services import runs
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.runs import RunStatus
from shared_schemas.usage import price_of


@transaction.atomic
def apply(run_id: uuid.UUID, outcome: agent_client.Outcome) -> None:
    """Store an outcome. News of an earlier segment, of one that goes on, or heard before, change nothing."""
    run = runs.locked(run_id)
    if run.segment != outcome.segment or outcome.status in {"pending", "running"}:
        return
    run.agent_run_id = outcome.agent_run_id
    if run.status == RunStatus.CANCELLED:
        _keep(run, outcome)
        run.save()
    elif run.status in AT_WORK:
        _keep(run, outcome)
        _end_segment(run, outcome)


@transaction.atomic
def lose(run_id: uuid.UUID, *, segment: int) -> None:
    """Fail a run that the agent service does not know any more."""
    run = runs.locked(run_id)
    if run.segment == segment and run.status in AT_WORK:
        lost = Failure(code=ErrorCode.NOT_FOUND, message="The agent service does not know this run any more.")
        runs.move(run, RunStatus.FAILED, failure=lost)


def _end_segment(run: models.Run, outcome: agent_client.Outcome) -> None:
    if outcome.status == "interrupted":
        runs.move(run, RunStatus.CANCELLED)
        runs.cancel_approvals(run)
    elif outcome.status in {"error", "timeout"}:
        runs.move(run, RunStatus.FAILED, failure=outcome.failure or _unexplained(outcome))
    elif unstorable := _unstorable(outcome.values):
        runs.move(run, RunStatus.FAILED, failure=unstorable)
    elif outcome.parked:
        _park(run, outcome)
    else:
        run.result = result_of(outcome.values)
        runs.move(run, RunStatus.COMPLETED)
        runs.cancel_approvals(run)


def _park(run: models.Run, outcome: agent_client.Outcome) -> None:
    approvals = {str(approval.pk): approval for approval in run.approvals.all()}
    waiting = {
        named: interrupt_id
        for interrupt_id, value in outcome.interrupts.items()
        if isinstance(value, Mapping) and (named := str(value.get("approval_id"))) in approvals
    }
    if not waiting:
        reason = "The graph waits for an answer that is not an approval of Django's."
        runs.move(run, RunStatus.FAILED, failure=Failure(code=ErrorCode.GRAPH_FAILED, message=reason))
        return
    for name, approval in approvals.items():
        approval.interrupt_id = waiting.get(name, "")
    models.Approval.objects.bulk_update(approvals.values(), ["interrupt_id"])
    runs.move(run, RunStatus.AWAITING_APPROVAL)
    runs.revoke_sessions(run)
    runs.continue_after_decision(run)


def _keep(run: models.Run, outcome: agent_client.Outcome) -> None:
    """Store the state that the thread is left in, and what the segment's models used."""
    run.prompt_version = outcome.prompt_version or run.prompt_version
    run.final_state = None if _unstorable(outcome.values) else outcome.values
    for used in outcome.usage:
        amounts = used.model_dump(exclude={"model"})
        models.ModelUsage.objects.update_or_create(
            run=run, segment=outcome.segment, model=used.model, defaults=amounts
        )
    run.cost = _cost(run)


def _cost(run: models.Run) -> Decimal | None:
    """Return what a run's models cost, or nothing if the price of one is not known."""
    total, prices = Decimal(0), catalogue.prices()
    for one in run.usage.all():
        price = price_of(one.model, prices)
        if price is None:
            return None
        total += price.of(input_tokens=one.input_tokens, output_tokens=one.output_tokens)
    return total


def result_of(values: Any) -> Any:
    """Return what a graph's state answers: its `result`, else the last text of the model, else all of it."""
    if not isinstance(values, Mapping):
        return values
    if "result" in values:
        return values["result"]
    spoken = [text for message in values.get("messages", ()) if (text := _text_of_model(message))]
    return spoken[-1] if spoken else values


def _text_of_model(message: Any) -> str:
    if not isinstance(message, Mapping) or message.get("type") not in {"ai", "AIMessage"}:
        return ""
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    blocks = (block for block in content if isinstance(block, Mapping) and block.get("type") == "text")
    return "".join(str(block.get("text", "")) for block in blocks)


def _unstorable(values: Any) -> Failure | None:
    try:
        json_values.check_storable(values)
    except json_values.UnstorableValueError as error:
        return Failure(code=ErrorCode.UNSTORABLE_VALUE, message=f"The graph's final state: {error}")
    return None


def _unexplained(outcome: agent_client.Outcome) -> Failure:
    code = ErrorCode.RUN_TIMEOUT if outcome.status == "timeout" else ErrorCode.GRAPH_FAILED
    return Failure(code=code, message=f"The agent service reported {outcome.status!r} and no cause.")
