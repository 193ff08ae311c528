"""Exception hierarchy.

* AgentServiceError
  x ConfigurationError      a setting is missing or wrong; the service does not start
  x RunError
    + IllegalTransition     the run may not move from its status to the one asked for
    + LeaseLost             another worker owns the run now
    + RunFailed             the run ends as failed, with this code
  x RequestError            a request of the API that cannot be done, with its code
  x ToolCallError
    + ToolInvalidArguments  the arguments fail the tool's schema; the model may correct them
    + ToolRejected          a business rule refused
    + ToolRepeated          the model said the same too often; it is told to go on
    + ToolRefused           the mandate does not allow it: not granted, limit spent, run not active
    + ToolFailed            Django could not do it, or the call itself is a bug
    + ToolUnavailable       no answer in time; safe to repeat with the same key
"""

from datetime import timedelta

from shared_schemas.problems import ErrorCode, Failure, FieldProblem


class AgentServiceError(Exception):
    """Base of every error this service raises on purpose."""


class ConfigurationError(AgentServiceError):
    """A setting is missing or wrong. The service does not start."""


class RunError(AgentServiceError):
    """A run could not be created, advanced or read."""


class IllegalTransition(RunError):
    """The run may not move from its status to the one asked for."""

    def __init__(self, run_id: str, status: str, target: str) -> None:
        super().__init__(f"Run {run_id!r} is {status!r} and cannot become {target!r}.")
        self.run_id = run_id


class LeaseLost(RunError):
    """Another worker owns the run now. Stop, and write nothing more."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The lease on run {run_id!r} was lost.")
        self.run_id = run_id


class RunFailed(RunError):
    """The run ends as failed, resumable; its code is stored with it."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class TryAgain(RunFailed):
    """What a graph raises when its step may well succeed a little later: the run is tried again from there."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.GRAPH_FAILED, message)


class AttemptFailed(RunError):
    """The run goes on from its last checkpoint when `pause` is over."""

    def __init__(self, failure: Failure, *, pause: timedelta) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.pause = pause


class RequestError(AgentServiceError):
    """A request that cannot be done. The API layer turns the code into a status."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ToolCallError(AgentServiceError):
    """Django did not do what a tool call asked for."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ToolInvalidArguments(ToolCallError):
    """The arguments fail the tool's schema; the model may correct them."""

    def __init__(self, detail: str, errors: list[FieldProblem]) -> None:
        super().__init__(ErrorCode.INVALID_ARGUMENTS, detail)
        self.errors = errors


class ToolRejected(ToolCallError):
    """A business rule refused the call."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.REJECTED, detail)


class ToolRepeated(ToolCallError):
    """The same call was made too often. Nothing was done; the model is told to go on."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.REPEATED_CALL, detail)


class ToolRefused(ToolCallError):
    """The mandate does not allow the call."""


class ToolFailed(ToolCallError):
    """Django could not do it, or the call itself is a bug; repeating it does not help."""


class ToolUnavailable(ToolCallError):
    """There was no answer in time. Repeating the call with the same key is safe."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, detail)
