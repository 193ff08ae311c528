"""What a graph was given, checked at its first step."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent_service import exceptions
from shared_schemas.problems import ErrorCode

Input = TypeVar("Input", bound=BaseModel)


def checked(form: type[Input], state: Mapping[str, Any]) -> Input:
    """Return the input of a graph.

    Raises:
        RunFailed: INVALID_REQUEST, it does not fit.
    """
    try:
        return form.model_validate({name: state[name] for name in form.model_fields if name in state})
    except ValidationError as error:
        faults = "; ".join(
            f"/{'/'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise exceptions.RunFailed(
            ErrorCode.INVALID_REQUEST, f"The input does not fit the graph: {faults}"
        ) from None
