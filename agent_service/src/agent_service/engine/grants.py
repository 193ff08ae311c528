"""Which models a run may ask: those that Django's session grants, if it says any."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent_service import exceptions
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import GrantedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A model that a run may ask, and how."""

    name: str
    base_url: str | None = None
    """Where it is asked instead of at its provider."""

    use_responses_api: bool = False


def allowed(named: str, granted: Sequence[GrantedModel] | None) -> Allowed:
    """Return how a model is asked; its name is full where the session grants models by name.

    Raises:
        RunFailed: UNKNOWN_MODEL, the session does not grant it.
    """
    if granted is None:
        return Allowed(name=named)
    found = _of(named, granted)
    if found is None:
        names = ", ".join(sorted(model.name for model in granted)) or "none"
        raise exceptions.RunFailed(
            ErrorCode.UNKNOWN_MODEL,
            f"The run's mandate does not grant the model {named!r}; it grants {names}.",
        )
    is_full = found.name.startswith(f"{found.provider}:")
    return Allowed(
        name=found.name if is_full else f"{found.provider}:{found.name}",
        base_url=found.base_url,
        use_responses_api=found.use_responses_api,
    )


def fallback(named: str | None, granted: Sequence[GrantedModel] | None) -> str | None:
    """Return the model that is asked for what another cannot do."""
    found = _of(named, granted or ()) if named else None
    return found.fallback if found else None


def _of(named: str, granted: Sequence[GrantedModel]) -> GrantedModel | None:
    return next((model for model in granted if model.name == named), None)
