"""Every error as an RFC 9457 problem; the one place where a code becomes a status."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from agent_service import database, exceptions
from shared_schemas import problems
from shared_schemas.problems import ErrorCode, FieldProblem

STATUS: dict[ErrorCode, int] = {
    ErrorCode.MALFORMED_BODY: 400,
    ErrorCode.IDEMPOTENCY_KEY_MALFORMED: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.NOT_OFFERED: 404,
    ErrorCode.UNKNOWN_GRAPH: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS: 409,
    ErrorCode.ILLEGAL_TRANSITION: 409,
    ErrorCode.NO_SUCH_INTERRUPT: 409,
    ErrorCode.THREAD_BUSY: 409,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.INVALID_REQUEST: 422,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.UNKNOWN_MODEL: 422,
    ErrorCode.UNSTORABLE_VALUE: 422,
    ErrorCode.WEBHOOK_NOT_ALLOWED: 422,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
}

RETRY_AFTER = {
    ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS: 1,
    ErrorCode.TOO_MANY_REQUESTS: 1,
    ErrorCode.UNAVAILABLE: 2,
}
"""Seconds, for the codes that go away by themselves."""

Responses = dict[int | str, dict[str, Any]]
"""What an endpoint may answer beside its model, for the OpenAPI document."""

_BY_STATUS = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
}

_log = structlog.get_logger(__name__)


def problem(
    code: ErrorCode,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the answer for a code."""
    status = STATUS[code]
    body = problems.Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, errors=list(errors)
    )
    return Response(
        body.model_dump_json(),
        status_code=status,
        media_type=problems.MEDIA_TYPE,
        headers=_headers(code) | (headers or {}),
    )


def problems_for(*statuses: int) -> Responses:
    """Return the `responses=` of an endpoint: these, and what every endpoint may answer."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {problems.MEDIA_TYPE: schema}}
        for status in sorted({400, 401, 403, 422, 503, *statuses})
    }


def install(app: FastAPI) -> None:
    """Answer everything that an endpoint may raise with a problem."""
    app.add_exception_handler(exceptions.RequestError, _refused)
    app.add_exception_handler(exceptions.IllegalTransition, _illegal_transition)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for passing in (*database.AWAY, *database.TOO_LONG):
        app.add_exception_handler(passing, _database_away)


async def unexpected(request: Request, error: Exception) -> Response:
    """Answer 500 without a word about the cause, which is in the log."""
    _log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return problem(ErrorCode.INTERNAL, "The service could not do this; its log says why.")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, exceptions.RequestError)
    return problem(error.code, error.detail)


async def _illegal_transition(_: Request, error: Exception) -> Response:
    return problem(ErrorCode.ILLEGAL_TRANSITION, str(error))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(
        ErrorCode.INVALID_REQUEST,
        "The request is not valid; 'errors' says where.",
        errors=[_field(fault, error.body) for fault in error.errors()],
    )


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, ErrorCode.MALFORMED_BODY)
    return problem(code, error.detail, headers=dict(error.headers or {}))


async def _database_away(request: Request, error: Exception) -> Response:
    _log.warning("database_unavailable", path=request.url.path, error=type(error).__name__)
    return problem(ErrorCode.UNAVAILABLE, "The database does not answer; try again.")


def _field(fault: dict[str, Any], body: Any) -> FieldProblem:
    place, *path = fault["loc"]
    # A validator's own words, without what pydantic puts before them.
    detail = fault["msg"].removeprefix("Value error, ")
    if place == "body":
        return FieldProblem(pointer=_pointer(path, body, fault["type"]), detail=detail)
    return FieldProblem(pointer="", detail=f"{place} parameter {'.'.join(map(str, path))!r}: {detail}")


def _pointer(path: list[str | int], body: Any, kind: str) -> str:
    pointer = ""
    for step in path:
        if isinstance(body, dict) and (step in body or kind == "missing"):
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int):
            body = body[step]
        else:
            continue  # pydantic names the alternatives of a union between the steps
        pointer += f"/{_escape(step)}"
    return pointer


def _escape(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _headers(code: ErrorCode) -> dict[str, str]:
    headers = {}
    if code in RETRY_AFTER:
        headers["Retry-After"] = str(math.ceil(RETRY_AFTER[code]))
    if STATUS[code] == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers
