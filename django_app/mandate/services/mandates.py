"""What a run may do: its agent's tools and limits, or less."""

from collections.abc import Sequence

from mandate import exceptions, models
from mandate.selectors import catalogue
from shared_schemas.problems import ErrorCode, FieldProblem
from shared_schemas.tools import Limits
from shared_schemas.usage import price_of

_AMOUNTS = ("tool_calls", "writes", "model_tokens", "money", "wall_clock")


def narrowed_tools(agent: models.Agent, wanted: Sequence[str] | None) -> list[str]:
    """Return the tools of a run.

    Raises:
        RequestRefused: INVALID_REQUEST, one is not among the agent's.
    """
    if wanted is None:
        return list(agent.tools)
    _refuse(
        [
            FieldProblem(pointer=f"/tools/{index}", detail=f"The agent has no tool {name!r}.")
            for index, name in enumerate(wanted)
            if name not in agent.tools
        ]
    )
    return list(dict.fromkeys(wanted))


def narrowed_limits(agent: models.Agent, wanted: Limits | None) -> Limits:
    """Return the limits of a run: the wanted ones, and the agent's where nothing is wanted.

    Raises:
        RequestRefused: INVALID_REQUEST, one is wider than the agent's.
    """
    given = Limits.model_validate(agent.limits)
    if wanted is None:
        return given
    _refuse(
        [
            FieldProblem(pointer=f"/limits/{name}", detail=f"The agent's limit is {ceiling}.")
            for name in _AMOUNTS
            if (ceiling := getattr(given, name)) is not None and (getattr(wanted, name) or 0) > ceiling
        ]
        + [
            FieldProblem(pointer=f"/limits/calls_per_tool/{tool}", detail=f"The agent's limit is {ceiling}.")
            for tool, ceiling in given.calls_per_tool.items()
            if wanted.calls_per_tool.get(tool, 0) > ceiling
        ]
    )
    amounts = {name: value for name in _AMOUNTS if (value := getattr(wanted, name)) is not None}
    return given.model_copy(update=amounts | {"calls_per_tool": given.calls_per_tool | wanted.calls_per_tool})


def check_model(name: str) -> None:
    """Refuse a model that is not in the catalogue, where there is one.

    Raises:
        RequestRefused: UNKNOWN_MODEL, with the names there are.
    """
    kept = catalogue.entries()
    known = {model for model, entry in kept.items() if entry.enabled}
    if kept and name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise exceptions.RequestRefused(
            ErrorCode.UNKNOWN_MODEL,
            f"The model {name!r} is not in the catalogue. In it: {names}.",
            [FieldProblem(pointer="/model", detail=f"One of: {names}.")],
        )


def check_prices(run: models.Run) -> None:
    """Refuse a limit that nobody could hold the run to.

    Raises:
        RequestRefused: INVALID_REQUEST, the run has a limit of money, and its model no price.
    """
    if "money" in run.limits and price_of(run.model, catalogue.prices()) is None:
        detail = f"Neither the catalogue nor MODEL_PRICES has a price of {run.model!r}."
        raise exceptions.RequestRefused(
            ErrorCode.INVALID_REQUEST,
            "A limit of money needs the price of the run's model.",
            [FieldProblem(pointer="/limits/money", detail=detail)],
        )


def _refuse(errors: list[FieldProblem]) -> None:
    if errors:
        raise exceptions.RequestRefused(
            ErrorCode.INVALID_REQUEST, "A run may narrow its agent's mandate, not widen it.", errors
        )
