"""Reads a request's body strictly, the same for every address."""

import json
from typing import Any, TypeVar

from django.http import HttpRequest
from pydantic import BaseModel, ValidationError

from mandate import exceptions
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode, FieldProblem
from shared_schemas.tools import MAX_BODY_BYTES

M = TypeVar("M", bound=BaseModel)


def parse(request: HttpRequest, model: type[M]) -> M:
    """Return the body as a message.

    A view of REST framework gives its request as it is, before anything reads `request.data`.

    Raises:
        RequestRefused: it is not JSON, too large, cannot be stored, or does not fit the message.
    """
    if request.content_type != "application/json":
        raise exceptions.RequestRefused(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Send application/json, not {request.content_type!r}."
        )
    return parse_bytes(request.read(MAX_BODY_BYTES + 1), model)


def parse_bytes(body: bytes, model: type[M]) -> M:
    """Return a body that was read already as a message.

    Raises:
        RequestRefused: as `parse`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise exceptions.RequestRefused(
            ErrorCode.BODY_TOO_LARGE, f"A body may have {MAX_BODY_BYTES} bytes at most."
        )
    _check_storable(_read_json(body))
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise exceptions.RequestRefused.by_schema(
            ErrorCode.INVALID_REQUEST, "The body does not fit its schema.", error
        ) from None


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise exceptions.RequestRefused(ErrorCode.MALFORMED_BODY, "The body is not JSON.") from None


def _check_storable(value: Any) -> None:
    try:
        json_values.check_storable(value)
    except json_values.UnstorableValueError as error:
        raise exceptions.RequestRefused(
            ErrorCode.UNSTORABLE_VALUE,
            str(error),
            [FieldProblem(pointer=error.pointer, detail=error.reason)],
        ) from None
