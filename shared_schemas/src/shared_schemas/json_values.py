"""JSON values that both databases and a checkpoint can store, and their one canonical text."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 250
"""LangGraph's checkpoint serializer fails above 254 levels; a few are left for what wraps the value."""

_UNSTORABLE_TEXT = re.compile("[\x00\ud800-\udfff]")


class UnstorableValueError(ValueError):
    """A JSON value holds something that PostgreSQL or a checkpoint cannot keep."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"The value at {pointer!r} cannot be stored: {reason}.")
        self.pointer = pointer
        self.reason = reason


def check_storable(value: Any) -> None:
    """Refuse what could not be written later.

    Raises:
        UnstorableValueError: NUL or a lone surrogate in a text, NaN or an infinity, an integer
            of more than 64 bits, or nesting deeper than `MAX_DEPTH`.
    """
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    while pending:
        pointer, item, depth = pending.pop()
        if reason := _fault(item, depth):
            raise UnstorableValueError(pointer, reason)
        pending.extend((f"{pointer}/{step}", child, depth + 1) for step, child in _children(item))


def canonical(value: Any) -> str:
    """Return the one text of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text(value: Any) -> str:
    """Return a JSON value with its keys in their order; read and written again, the text stays the same."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _fault(item: Any, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH} levels"
    if isinstance(item, str) and _UNSTORABLE_TEXT.search(item):
        return "a text holds NUL or a lone surrogate"
    if isinstance(item, float) and not math.isfinite(item):
        return "a number is not finite"
    if isinstance(item, int) and not -(2**63) <= item < 2**63:
        return "an integer needs more than 64 bits"
    if isinstance(item, dict) and any(_UNSTORABLE_TEXT.search(key) for key in item):
        return "a key holds NUL or a lone surrogate"
    return None


def _children(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        for key, child in item.items():
            yield key.replace("~", "~0").replace("/", "~1"), child
    elif isinstance(item, list | tuple):
        for index, child in enumerate(item):
            yield str(index), child
