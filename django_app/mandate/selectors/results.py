"""Reads results that were too large for their answers."""

import uuid

from mandate import exceptions, models
from shared_schemas.problems import ErrorCode


def whole(result_id: uuid.UUID, *, run_id: uuid.UUID) -> str:
    """Return the JSON of a result that a call of this run had.

    Raises:
        RequestRefused: NOT_FOUND.
    """
    found = models.ToolResult.objects.filter(pk=result_id, tool_call__run_id=run_id)
    text: str | None = found.values_list("json", flat=True).first()
    if text is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, "The run has no such result.")
    return text
