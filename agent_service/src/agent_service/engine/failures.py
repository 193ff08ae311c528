"""What went wrong in a graph, as a code and a sentence that may be stored and shown."""

import httpx
import orjson
import ormsgpack
import psycopg
from langgraph.errors import GraphRecursionError
from psycopg_pool import PoolTimeout

from agent_service import database, exceptions, models, telemetry
from agent_service.engine import encoding
from shared_schemas.json_values import UnstorableValueError
from shared_schemas.problems import ErrorCode, Failure

MAX_MESSAGE = 500

PASSING = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, *database.TOO_LONG)
"""The database went away."""

_UNSTORABLE = (
    UnstorableValueError,
    ormsgpack.MsgpackEncodeError,
    orjson.JSONEncodeError,
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
)

_TRANSIENT = (exceptions.TryAgain, exceptions.ToolUnavailable, httpx.TransportError)


def failure_of(error: Exception) -> Failure:
    """Return how a run fails by an error that its graph raised."""
    known = models.failure(error) or error
    if isinstance(known, exceptions.RunFailed | exceptions.ToolCallError):
        return _failure(known.code, str(known))
    if isinstance(known, GraphRecursionError):
        return _failure(ErrorCode.RECURSION_LIMIT, "The graph took as many steps as a run may.")
    if isinstance(known, _UNSTORABLE):
        return _failure(ErrorCode.UNSTORABLE_VALUE, f"The state cannot be stored: {known}")
    return _failure(ErrorCode.GRAPH_FAILED, f"{type(known).__name__}: {known}")


def is_worth_another_attempt(error: Exception) -> bool:
    """Tell whether the same step may succeed a little later, though nothing is changed."""
    return models.is_passing(error) or isinstance(error, _TRANSIENT)


def is_passing(error: Exception) -> bool:
    """Tell whether the database went away: that is no fault of the run."""
    return isinstance(error, PASSING) and not isinstance(error, psycopg.errors.QueryCanceled)


def _failure(code: ErrorCode, message: str) -> Failure:
    text = encoding.clean_text(telemetry.redact(message))
    return Failure(code=code, message=text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…")
