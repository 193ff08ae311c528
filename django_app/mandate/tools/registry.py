"""The declared tools by name; each app's `agent_tools` module adds its own when Django starts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mandate.tools.declaration import Tool

_tools: "dict[str, Tool]" = {}


class DuplicateToolError(ValueError):
    """Two tools have one name. Rename one, or pass `name=` to its decorator."""


def register(declared: "Tool") -> None:
    """Add a tool.

    Raises:
        DuplicateToolError: another function has the name already.
    """
    known = _tools.get(declared.name)
    if known is not None and known.function.__qualname__ != declared.function.__qualname__:
        raise DuplicateToolError(
            f"{known.function.__module__} and {declared.function.__module__} both declare a tool {declared.name!r}."
        )
    _tools[declared.name] = declared


def unregister(name: str) -> None:
    """Take a tool away, for tests that declare their own."""
    del _tools[name]


def declared() -> "Mapping[str, Tool]":
    """Return all tools by name."""
    return MappingProxyType(_tools)
