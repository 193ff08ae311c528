"""What the start page knows of a graph's input beyond its schema: `@choices` and `grows_with`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

Choices = Iterable[tuple[int | str, str]]
Chooser = Callable[["AbstractBaseUser"], Choices]

_declared: dict[tuple[str, str], Chooser] = {}
_growing: dict[str, str] = {}


def choices(graph: str, field: str) -> Callable[[Chooser], Chooser]:
    """Have the start page offer values by name for a field of a graph's input.

    The function takes the person who starts, and returns values with what the person reads. What it offers is
    for convenience: the tools look every id up among what the agent may see.
    """

    def declare(function: Chooser) -> Chooser:
        _declared[graph, field] = function
        return function

    return declare


def of(graph: str, field: str, *, user: "AbstractBaseUser") -> Choices | None:
    """Return what there is to choose from; nothing where nobody declared it."""
    chooser = _declared.get((graph, field))
    return None if chooser is None else chooser(user)


def grows_with(graph: str, field: str) -> None:
    """Have the start page take what a run costs to grow with a number of the graph's input."""
    _growing[graph] = field


def size_of(graph: str) -> str | None:
    """Return the field whose number a run's cost grows with; nothing where nobody declared it."""
    return _growing.get(graph)
