"""What Django's answers mean to a caller of tools."""

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import httpx
from pydantic import JsonValue, ValidationError

from agent_service import exceptions
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode, Problem
from shared_schemas.tools import ToolCallAnswer, ToolCallStatus, ToolResult

_LATER = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class NoAnswerError(Exception):
    """No answer yet. The same request may be sent again."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


async def receive(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send a request and return what answers it.

    Raises:
        NoAnswerError: nothing did, or only "later".
        ToolFailed: the request cannot be sent, or its answer cannot be read.
    """
    try:
        response = await send()
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise exceptions.ToolFailed(ErrorCode.TOOL_FAILED, f"The call cannot be sent: {error}") from error
    except httpx.TransportError as error:
        raise NoAnswerError(f"{type(error).__name__}: {error}") from error
    except httpx.HTTPError as error:
        raise exceptions.ToolFailed(ErrorCode.TOOL_FAILED, f"The answer cannot be read: {error}") from error
    if response.status_code in _LATER or _is_in_progress(response):
        raise NoAnswerError(f"HTTP {response.status_code}", retry_after=_retry_after(response))
    return response


def read(response: httpx.Response, *, run_id: str) -> ToolCallAnswer:
    """Return the answer of a tool call.

    Raises:
        LeaseLost: a later worker has the run.
        ToolCallError: one of its kinds.
    """
    if response.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        raise error_of(response, run_id=run_id)
    try:
        answer = ToolCallAnswer.model_validate_json(response.content)
    except ValidationError as error:
        raise unreadable(response, error) from None
    if (answer.status is ToolCallStatus.PENDING_APPROVAL) != (answer.approval is not None):
        raise exceptions.ToolFailed(
            ErrorCode.TOOL_FAILED, "Only a call that waits for a person has an approval."
        )
    _check_storable(answer)
    return answer


def read_result(response: httpx.Response, *, run_id: str) -> JsonValue:
    """Return a whole result.

    Raises:
        LeaseLost: a later worker has the run.
        ToolCallError: one of its kinds.
    """
    if response.status_code != HTTPStatus.OK:
        raise error_of(response, run_id=run_id)
    try:
        return ToolResult.model_validate_json(response.content).root
    except ValidationError as error:
        raise unreadable(response, error) from None


def error_of(response: httpx.Response, *, run_id: str) -> exceptions.ToolCallError | exceptions.LeaseLost:
    """Return what an error answer means, by its status and code."""
    problem = _problem_in(response)
    if problem is None:
        return exceptions.ToolFailed(ErrorCode.TOOL_FAILED, f"Django answered HTTP {response.status_code}.")
    match response.status_code, problem.code:
        case HTTPStatus.CONFLICT, ErrorCode.STALE_WORKER:
            return exceptions.LeaseLost(run_id)
        case HTTPStatus.UNPROCESSABLE_ENTITY, _:
            return _refused_arguments(problem)
        case ((HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN), code):
            return exceptions.ToolRefused(code, problem.detail)
        case _, code:
            return exceptions.ToolFailed(code, problem.detail)


def unreadable(response: httpx.Response, error: ValidationError) -> exceptions.ToolFailed:
    """Return the failure for an answer that is not in the contract; its values are not repeated."""
    places = ", ".join(
        "/".join(str(step) for step in fault["loc"]) or "the body"
        for fault in error.errors(include_input=False, include_url=False)
    )
    return exceptions.ToolFailed(
        ErrorCode.TOOL_FAILED,
        f"Django's answer, HTTP {response.status_code}, is not in the contract: {places}.",
    )


def _refused_arguments(problem: Problem) -> exceptions.ToolCallError:
    match problem.code:
        case ErrorCode.INVALID_ARGUMENTS:
            return exceptions.ToolInvalidArguments(problem.detail, problem.errors)
        case ErrorCode.REJECTED:
            return exceptions.ToolRejected(problem.detail)
        case ErrorCode.REPEATED_CALL:
            return exceptions.ToolRepeated(problem.detail)
        case code:
            return exceptions.ToolFailed(code, problem.detail)


def _check_storable(answer: ToolCallAnswer) -> None:
    try:
        json_values.check_storable(answer.model_dump())
    except json_values.UnstorableValueError as error:
        raise exceptions.ToolFailed(ErrorCode.UNSTORABLE_VALUE, f"The tool's answer: {error}") from None


def _is_in_progress(response: httpx.Response) -> bool:
    if response.status_code != HTTPStatus.CONFLICT:
        return False
    problem = _problem_in(response)
    return problem is not None and problem.code is ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS


def _problem_in(response: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _retry_after(response: httpx.Response) -> float | None:
    # The HTTP date form is left to the jitter: Django sends seconds.
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
