"""What publishing a draft means, by model: `@publishes`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from mandate.models import owned

Publish = TypeVar("Publish", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who reviews the drafts of a model, and what is done when one is published."""

    permission: str
    """Django permission, `app.codename`, that a person needs to change, publish or reject a draft."""

    publish: Callable[..., Any]
    """Called in the deciding transaction with the record, `by`, `changes` and `comment`."""

    preview: Callable[[Any], str] | None
    """HTML of the record, for the page of the draft; kept of it is what shows text."""


class DuplicateRuleError(ValueError):
    """Two functions say what publishing drafts of one model means."""


_rules: dict[type[owned.AgentOwned], Rule] = {}


def publishes(
    model: type[owned.AgentOwned], *, permission: str, preview: Callable[[Any], str] | None = None
) -> Callable[[Publish], Publish]:
    """Have the pages of drafts publish records of a model by a function of the project.

    It is given the record, and by keyword `by`, the person, `changes`, a mapping of the person's last edits, and
    `comment`. It must call `drafts.review` with them; it may refuse with Django's `ValidationError`.

    Raises:
        DuplicateRuleError: another function does that already.
    """

    def declare(function: Publish) -> Publish:
        known = _rules.get(model)
        if known is not None and known.publish.__qualname__ != function.__qualname__:
            raise DuplicateRuleError(f"{known.publish.__module__} publishes drafts of {model!r} already.")
        _rules[model] = Rule(permission=permission, publish=function, preview=preview)
        return function

    return declare


def declared() -> Mapping[type[owned.AgentOwned], Rule]:
    """Return the rules of all models that have one."""
    return MappingProxyType(_rules)


def forget(model: type[owned.AgentOwned]) -> None:
    """Take a rule away, for tests that declare their own."""
    del _rules[model]
