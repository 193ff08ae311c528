"""The one place where an error becomes an HTTP answer: RFC 9457 problems, for REST framework and plain views."""

import functools
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as rest
from rest_framework.response import Response

from mandate import exceptions
from shared_schemas.problems import MEDIA_TYPE, ErrorCode, FieldProblem, Problem

logger = logging.getLogger(__name__)

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

STATUSES: Mapping[ErrorCode, HTTPStatus] = {
    ErrorCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.TOKEN_EXPIRED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.SIGNATURE_INVALID: HTTPStatus.UNAUTHORIZED,
    ErrorCode.MALFORMED_BODY: HTTPStatus.BAD_REQUEST,
    ErrorCode.BODY_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.NOT_ACCEPTABLE: HTTPStatus.NOT_ACCEPTABLE,
    ErrorCode.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.NOT_OFFERED: HTTPStatus.NOT_FOUND,
    ErrorCode.IDEMPOTENCY_KEY_MISSING: HTTPStatus.BAD_REQUEST,
    ErrorCode.IDEMPOTENCY_KEY_MALFORMED: HTTPStatus.BAD_REQUEST,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS: HTTPStatus.CONFLICT,
    ErrorCode.UNKNOWN_AGENT: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.AGENT_PAUSED: HTTPStatus.FORBIDDEN,
    ErrorCode.STALE_WORKER: HTTPStatus.CONFLICT,
    ErrorCode.RUN_NOT_ACTIVE: HTTPStatus.FORBIDDEN,
    ErrorCode.UNKNOWN_TOOL: HTTPStatus.NOT_FOUND,
    ErrorCode.TOOL_NOT_GRANTED: HTTPStatus.FORBIDDEN,
    ErrorCode.TOOL_PAUSED: HTTPStatus.FORBIDDEN,
    ErrorCode.LIMIT_SPENT: HTTPStatus.FORBIDDEN,
    ErrorCode.INVALID_ARGUMENTS: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.REJECTED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.REPEATED_CALL: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.LOOP_DETECTED: HTTPStatus.FORBIDDEN,
    ErrorCode.TOOL_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.NOT_UNDOABLE: HTTPStatus.CONFLICT,
    ErrorCode.ALREADY_DECIDED: HTTPStatus.CONFLICT,
    ErrorCode.APPROVAL_EXPIRED: HTTPStatus.CONFLICT,
    ErrorCode.ILLEGAL_TRANSITION: HTTPStatus.CONFLICT,
    ErrorCode.NO_SUCH_INTERRUPT: HTTPStatus.CONFLICT,
    ErrorCode.THREAD_BUSY: HTTPStatus.CONFLICT,
    ErrorCode.UNKNOWN_GRAPH: HTTPStatus.NOT_FOUND,
    ErrorCode.UNKNOWN_MODEL: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.WEBHOOK_NOT_ALLOWED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.MODEL_FAILED: HTTPStatus.BAD_GATEWAY,
    ErrorCode.MODEL_WITHOUT_KEY: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.GRAPH_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.RECURSION_LIMIT: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.RUN_TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.ATTEMPTS_EXHAUSTED: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.GRAPH_VERSION_MISMATCH: HTTPStatus.CONFLICT,
    ErrorCode.SUBMISSION_FAILED: HTTPStatus.BAD_GATEWAY,
    ErrorCode.UNSTORABLE_VALUE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_REST_CODES: Mapping[type[Exception], ErrorCode] = {
    rest.NotAuthenticated: ErrorCode.UNAUTHENTICATED,
    rest.AuthenticationFailed: ErrorCode.UNAUTHENTICATED,
    rest.PermissionDenied: ErrorCode.FORBIDDEN,
    rest.NotFound: ErrorCode.NOT_FOUND,
    rest.MethodNotAllowed: ErrorCode.METHOD_NOT_ALLOWED,
    rest.NotAcceptable: ErrorCode.NOT_ACCEPTABLE,
    rest.UnsupportedMediaType: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    rest.ParseError: ErrorCode.MALFORMED_BODY,
    rest.ValidationError: ErrorCode.INVALID_REQUEST,
    rest.Throttled: ErrorCode.TOO_MANY_REQUESTS,
}

_DJANGO_CODES: Mapping[type[Exception], ErrorCode] = {
    Http404: ErrorCode.NOT_FOUND,
    PermissionDenied: ErrorCode.FORBIDDEN,
    RequestDataTooBig: ErrorCode.BODY_TOO_LARGE,
    OperationalError: ErrorCode.UNAVAILABLE,
    InterfaceError: ErrorCode.UNAVAILABLE,
}

_DETAILS = {
    ErrorCode.NOT_FOUND: "There is no such thing here.",
    ErrorCode.FORBIDDEN: "This account may not do that.",
    ErrorCode.BODY_TOO_LARGE: "The body is too large.",
    ErrorCode.UNAVAILABLE: "The database does not answer; send the same again.",
}

_RETRY_AFTER = {ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS: "1", ErrorCode.UNAVAILABLE: "1"}


def describe(code: ErrorCode, detail: str, errors: list[FieldProblem] | None = None) -> Problem:
    """Return the problem for a code; its status comes from the table above."""
    status = STATUSES[code]
    return Problem(title=status.phrase, status=status, detail=detail, code=code, errors=errors or [])


def answer(problem: Problem) -> HttpResponse:
    """Return a problem as the answer of a plain view."""
    body = problem.model_dump_json()
    return HttpResponse(
        body, status=problem.status, content_type=MEDIA_TYPE, headers=_headers_for(problem.code)
    )


def of(error: Exception) -> Problem:
    """Return what an exception tells the caller; one that nobody expected is logged and tells nothing."""
    if isinstance(error, exceptions.RequestRefused):
        return describe(error.code, error.detail, error.errors)
    if isinstance(error, exceptions.MandateError):
        return describe(error.code, error.detail)
    if isinstance(error, rest.APIException):
        code = _first(_REST_CODES, error)
        return describe(code or ErrorCode.INTERNAL, _sentence(error.detail))
    if code := _first(_DJANGO_CODES, error):
        logger.warning("request.refused code=%s reason=%s", code, error)
        return describe(code, _DETAILS[code])
    logger.error("request.failed", exc_info=error)
    return describe(ErrorCode.INTERNAL, "Something failed that nobody expected; nothing was changed.")


def handle_rest(error: Exception, _context: Mapping[str, Any]) -> Response:
    """Answer an exception of a REST framework view; the setting `EXCEPTION_HANDLER` names this."""
    problem = of(error)
    headers = _headers_for(problem.code)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return Response(
        problem.model_dump(mode="json"), status=problem.status, headers=headers, content_type=MEDIA_TYPE
    )


def answered(method: str) -> Callable[[View[P]], View[P]]:
    """Decorate a plain view that takes one method: whatever it raises is answered as a problem."""

    def decorate(view: View[P]) -> View[P]:
        @functools.wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method != method:
                return _not_allowed(request, method)
            try:
                return view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the framework's last handler, which logs it
                return answer(of(error))

        return guarded

    return decorate


@csrf_exempt
def not_found(request: HttpRequest, **_: str) -> HttpResponse:
    """Answer an address under an API's prefix that leads nowhere."""
    return answer(describe(ErrorCode.NOT_FOUND, f"There is nothing at {request.path!r}."))


def _not_allowed(request: HttpRequest, method: str) -> HttpResponse:
    problem = describe(ErrorCode.METHOD_NOT_ALLOWED, f"{request.method} is not possible here; use {method}.")
    response = answer(problem)
    response["Allow"] = method
    return response


def _first(codes: Mapping[type[Exception], ErrorCode], error: Exception) -> ErrorCode | None:
    return next((code for kind, code in codes.items() if isinstance(error, kind)), None)


def _sentence(detail: Any) -> str:
    if isinstance(detail, dict):
        return "; ".join(f"{name}: {_sentence(value)}" for name, value in detail.items())
    if isinstance(detail, list):
        return " ".join(_sentence(item) for item in detail)
    return str(detail)


def _headers_for(code: ErrorCode) -> dict[str, str]:
    if code in _RETRY_AFTER:
        return {"Retry-After": _RETRY_AFTER[code]}
    if STATUSES[code] is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    return {}
