"""Parameters in an address."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from rest_framework.request import Request

from mandate import exceptions
from shared_schemas.problems import ErrorCode, FieldProblem


def agent(request: Request) -> str:
    """Return the agent's name that is asked for, or nothing.

    Raises:
        RequestRefused: INVALID_REQUEST, no agent can have that name.
    """
    given = request.query_params.get("agent")
    if given is None:
        return ""
    try:
        validate_slug(given)
    except ValidationError:
        raise wrong("agent", "It is an agent's name: letters, digits, hyphens and underscores.") from None
    return given


def wrong(name: str, detail: str) -> exceptions.RequestRefused:
    """Return the error that says what a parameter has to be."""
    return exceptions.RequestRefused(
        ErrorCode.INVALID_REQUEST,
        f"The parameter {name!r} is wrong.",
        [FieldProblem(pointer=f"/{name}", detail=detail)],
    )
