"""Exception hierarchy.

* MandateError              carries an ErrorCode; the API layer alone turns it into a status
  x RequestRefused          a request of a person or of the agent service that cannot be done
  x ToolRejected            raised by tools: a business rule refuses the call
  x DeliveryFailed          a message could not be delivered now
    + NotDelivered          raised by a project's own topics
"""

from typing import Self

from pydantic import ValidationError

from shared_schemas.problems import ErrorCode, FieldProblem

_MOST_PLACES = 50
_PREFIX = "Value error, "
"""What pydantic puts before the words of a validator."""


def storable(text: str) -> str:
    """Return text that is kept and answered as JSON: what comes from outside need not be fit for either."""
    return text.replace("\x00", "").encode(errors="replace").decode()


class MandateError(Exception):
    """Base of every error this app raises on purpose."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        self.detail = storable(detail)
        super().__init__(self.detail)
        self.code = code


class RequestRefused(MandateError):
    """A request cannot be done; `errors` names the places that are wrong, where there are any."""

    def __init__(self, code: ErrorCode, detail: str, errors: list[FieldProblem] | None = None) -> None:
        super().__init__(code, detail)
        self.errors = errors or []

    @classmethod
    def by_schema(cls, code: ErrorCode, detail: str, error: ValidationError, *, at: str = "") -> Self:
        """Return the refusal of what does not fit its schema, without the values that are there.

        `at` is the pointer to the part of the body that was validated.
        """
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PLACES]
        places = [
            FieldProblem(pointer=at + _pointer(fault["loc"]), detail=fault["msg"].removeprefix(_PREFIX))
            for fault in faults
        ]
        return cls(code, detail, places)


class ToolRejected(MandateError):
    """A business rule refuses the call. The message is for people, and for the model where the tool says so."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.REJECTED, detail)


class DeliveryFailed(MandateError):
    """A message could not be delivered now; `permanent` when trying again cannot help."""

    def __init__(self, code: ErrorCode, detail: str, *, permanent: bool = False) -> None:
        super().__init__(code, detail)
        self.permanent = permanent


class NotDelivered(DeliveryFailed):
    """The system outside did not take a message; it is tried again, unless that cannot help."""

    def __init__(self, detail: str, *, permanent: bool = False) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, detail, permanent=permanent)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)
