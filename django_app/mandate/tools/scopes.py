"""Which records agents may see, by model: a queryset for each, declared in an app's `agent_tools`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.db import models as django_models

if TYPE_CHECKING:
    from mandate.tools.context import Context

Scope = Callable[["Context"], "django_models.QuerySet[Any]"]
Scopes = Mapping[type[django_models.Model], Scope]

_scopes: dict[type[django_models.Model], Scope] = {}


class NoScopeError(LookupError):
    """Nobody said which records of a model agents may see. Declare it with `tools.records`."""


class DuplicateScopeError(ValueError):
    """Two functions say what agents may see of one model. A single tool's `records` may differ."""


def records(model: type[django_models.Model]) -> Callable[[Scope], Scope]:
    """Declare which records of a model agents may see: the function is asked anew for every call.

    Raises:
        DuplicateScopeError: another function has the model already.
    """

    def declare(scope: Scope) -> Scope:
        known = _scopes.get(model)
        if known is not None and known.__qualname__ != scope.__qualname__:
            raise DuplicateScopeError(f"{known.__module__} says already what agents may see of {model!r}.")
        _scopes[model] = scope
        return scope

    return declare


def declared() -> Scopes:
    """Return the scopes of all tools."""
    return MappingProxyType(_scopes)


def forget(model: type[django_models.Model]) -> None:
    """Take a scope away, for tests that declare their own."""
    del _scopes[model]
