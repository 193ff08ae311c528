"""Exception hierarchy.

* MandateError              carries an ErrorCode; the API layer alone turns it into a status
  x RequestRefused          a request of a person or of the agent service that cannot be done
  x ToolRejected            raised by tools: a business rule refuses the call
  x DeliveryFailed          a message could not be delivered now
"""

from shared_schemas.problems import ErrorCode, FieldProblem


class MandateError(Exception):
    """Base of every error this app raises on purpose."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class RequestRefused(MandateError):
    """A request cannot be done; `errors` names the places that are wrong, where there are any."""

    def __init__(self, code: ErrorCode, detail: str, errors: list[FieldProblem] | None = None) -> None:
        super().__init__(code, detail)
        self.errors = errors or []


class ToolRejected(MandateError):
    """A business rule refuses the call. The message is for people, and for the model where the tool says so."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.REJECTED, detail)


class DeliveryFailed(MandateError):
    """A message could not be delivered now; `permanent` when trying again cannot help."""

    def __init__(self, code: ErrorCode, detail: str, *, permanent: bool = False) -> None:
        super().__init__(code, detail)
        self.permanent = permanent
