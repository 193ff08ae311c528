"""Rows into runs and threads, and the statements they come from."""

from collections.abc import Iterable
from dataclasses import fields
from importlib import resources
from typing import Any

from psycopg.types.json import Json, Jsonb

from agent_service import database
from agent_service.engine import run
from shared_schemas.problems import Failure
from shared_schemas.usage import ModelUsage

Row = dict[str, Any]

_RUN_FIELDS = frozenset(item.name for item in fields(run.Run))
_THREAD_COLUMNS = (
    "thread_id",
    "owner",
    "status",
    "metadata",
    "state_values",
    "interrupts",
    "resting",
    "mandated",
    "ttl",
    "ttl_strategy",
    "expires_at",
    "body_digest",
    "created_at",
    "updated_at",
)

COLUMNS = {
    "run": [f"runs.{name}" for name in sorted(_RUN_FIELDS | {"body_digest"})],
    "thread": [f"threads.{name}" for name in _THREAD_COLUMNS],
}
"""Named one by one, so that a statement that is prepared outlives a column that a migration adds."""

QUERIES = database.load_queries(
    resources.files("agent_service.engine").joinpath("queries.sql").read_text(), **COLUMNS
)
_PLAIN_PAYLOAD = run.Payload()
_LISTED = frozenset({"stream_modes", "interrupt_before", "interrupt_after", "feedback_keys"})


def run_from(row: Row) -> run.Run:
    converted = {
        "status": run.RunStatus(row["status"]),
        "payload": payload_from(row["payload"]),
        "multitask_strategy": run.MultitaskStrategy(row["multitask_strategy"]),
        "error": row["error"] and Failure.model_validate(row["error"]),
        "usage": [ModelUsage.model_validate(item) for item in row["usage"]],
        "cancel_action": row["cancel_action"] and run.CancelAction(row["cancel_action"]),
    }
    return run.Run(**({name: row[name] for name in _RUN_FIELDS} | converted))


def payload_from(stored: run.JsonObject) -> run.Payload:
    return run.Payload(**{name: _frozen(name, value) for name, value in stored.items()})


def stored_payload(payload: run.Payload) -> Json:
    """Return what a row keeps: the fields that say something."""
    given = {item.name: getattr(payload, item.name) for item in fields(payload)}
    return Json({name: value for name, value in given.items() if value != _default(name)})


def thread_from(row: Row) -> run.Thread:
    return run.Thread(
        thread_id=row["thread_id"],
        owner=row["owner"],
        status=run.ThreadStatus(row["status"]),
        metadata=row["metadata"],
        values=row["state_values"],
        interrupts=row["interrupts"],
        resting=run.ThreadStatus(row["resting"]),
        mandated=row["mandated"],
        expiry=_expiry(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def result_from(row: Row) -> run.Result:
    return run.Result(
        values=row["state_values"],
        interrupts=row["interrupts"],
        error=row["error"] and Failure.model_validate(row["error"]),
    )


def occupying(submitted: run.Run | run.Submission) -> Row:
    """Return a run as the parameters of `occupy_thread`."""
    about = {"graph_id": submitted.graph_id, "assistant_id": str(submitted.assistant_id)}
    return {
        "thread_id": submitted.thread_id,
        "metadata": Jsonb(about),
        "mandated": "mandate_run" in submitted.metadata,
        "scheduled": submitted.scheduled,
    }


def stored_failure(failure: Failure | None) -> Jsonb | None:
    return None if failure is None else Jsonb(failure.model_dump(mode="json"))


def stored_usage(items: Iterable[ModelUsage]) -> Jsonb:
    return Jsonb([item.model_dump(mode="json") for item in items])


def _expiry(row: Row) -> run.Expiry | None:
    if row["ttl"] is None:
        return None
    strategy = run.ExpiryStrategy(row["ttl_strategy"])
    return run.Expiry(ttl=row["ttl"], strategy=strategy, expires_at=row["expires_at"])


def _frozen(name: str, value: Any) -> Any:
    return tuple(value) if name in _LISTED and isinstance(value, list) else value


def _default(name: str) -> Any:
    return getattr(_PLAIN_PAYLOAD, name)
