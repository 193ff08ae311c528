"""Runs a tool's own code: the one place that meets whatever it raises."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from pydantic import JsonValue
from pydantic import ValidationError as SchemaError

from mandate import exceptions
from mandate.tools import context as tool_context
from mandate.tools import declaration
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode

logger = logging.getLogger(__name__)

LOCK_NOT_AVAILABLE = "55P03"


def validate(tool: declaration.Tool, arguments: dict[str, JsonValue]) -> Any:
    """Return the arguments as the tool's schema.

    Raises:
        RequestRefused: INVALID_ARGUMENTS, with pointers.
    """
    try:
        return tool.arguments.model_validate_json(json_values.canonical(arguments), strict=True)
    except SchemaError as error:
        raise exceptions.RequestRefused.by_schema(
            ErrorCode.INVALID_ARGUMENTS,
            f"The arguments do not fit the schema of {tool.name!r}.",
            error,
            at="/arguments",
        ) from None


def canonical(arguments: Any) -> dict[str, JsonValue]:
    """Return validated arguments as they are kept, shown and compared."""
    values: dict[str, JsonValue] = arguments.model_dump(mode="json", by_alias=True)
    return values


def prepare(tool: declaration.Tool, context: tool_context.Context, arguments: Any) -> Any:
    """Do a tool's slow work, outside any transaction."""
    assert tool.prepare is not None, "only a tool with such a step is asked"
    with guarded(tool, context):
        return tool.prepare(context, arguments)


def perform(
    tool: declaration.Tool, context: tool_context.Context, arguments: Any, *prepared: Any
) -> JsonValue:
    """Run a tool and return its answer as JSON; the caller's transaction is rolled back if this raises."""
    answer = tool.function(context, arguments, *prepared)
    value: JsonValue = answer.model_dump(mode="json", by_alias=True)
    json_values.check_storable(value)
    return value


@contextlib.contextmanager
def guarded(tool: declaration.Tool, context: tool_context.Context) -> Iterator[None]:
    """Turn what a tool raises into what its caller is told.

    It goes around the whole transaction, so that a constraint that fails at the commit is met as well.

    Raises:
        ToolRejected: the tool, a validator, or a record that this agent cannot see says no.
        RequestRefused: IDEMPOTENCY_KEY_IN_PROGRESS, another connection holds what the call needs; TOOL_FAILED.
        OperationalError, InterfaceError: the database does not answer.
    """
    try:
        yield
    except exceptions.MandateError:
        raise
    except (ValidationError, ObjectDoesNotExist, PermissionDenied) as error:
        raise exceptions.ToolRejected(_reason(error)) from error
    except (OperationalError, InterfaceError) as error:
        if _is_waiting(error):
            raise exceptions.RequestRefused(
                ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, "Another request holds what this call needs."
            ) from error
        raise
    except Exception as error:
        logger.exception("tool.failed tool=%s run=%s key=%s", tool.name, context.run_id, context.key)
        raise exceptions.RequestRefused(
            ErrorCode.TOOL_FAILED, f"The tool {tool.name!r} failed; nothing was changed."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error) or "The agent's account may not do that."


def _is_waiting(error: DatabaseError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE
