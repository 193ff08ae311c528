"""Results that are too large for an answer: cut, and those of writes kept whole beside it."""

from pydantic import JsonValue

from mandate import conf, exceptions, models
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallAnswer, ToolCallStatus


def of_read(result: JsonValue) -> ToolCallAnswer:
    """Return the answer of a reading tool, cut where it is too long."""
    text = json_values.text(result).encode()
    if len(text) <= conf.settings().read_result_bytes:
        return ToolCallAnswer(status=ToolCallStatus.SUCCEEDED, result=result)
    return _cut(text, hint="Ask for less.")


def of_write(call: models.ToolCall, result: JsonValue, *, note: str | None) -> ToolCallAnswer:
    """Return the answer of a writing tool; the whole of what is too large is kept with its call.

    Raises:
        RequestRefused: TOOL_FAILED, it is too large to be kept.
    """
    text = json_values.text(result).encode()
    if len(text) > (largest := conf.settings().largest_result_bytes):
        raise exceptions.RequestRefused(
            ErrorCode.TOOL_FAILED,
            f"The tool {call.tool!r} returned {len(text)} bytes, and at most {largest} are kept; nothing was"
            " changed. Let it return less, or raise MANDATE['LARGEST_RESULT_BYTES'].",
        )
    if len(text) <= conf.settings().result_bytes:
        return ToolCallAnswer(status=ToolCallStatus.SUCCEEDED, tool_call=call.pk, result=result, note=note)
    models.ToolResult.objects.create(tool_call=call, json=text.decode(), size=len(text))
    cut = _cut(text, hint=f"The whole is kept as the result {call.pk}.")
    notes = [text for text in (cut.note, note) if text]
    return cut.model_copy(update={"tool_call": call.pk, "result_id": call.pk, "note": " ".join(notes)})


def _cut(text: bytes, *, hint: str) -> ToolCallAnswer:
    largest = conf.settings().read_result_bytes
    return ToolCallAnswer(
        status=ToolCallStatus.SUCCEEDED,
        result=text[:largest].decode(errors="ignore"),
        truncated=True,
        note=f"The result has {len(text)} bytes; these are the first {largest} of its JSON. {hint}",
    )
