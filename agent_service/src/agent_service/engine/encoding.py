"""State, messages and interrupts as JSON, for events and for rows."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from langgraph.types import Interrupt
from pydantic import BaseModel

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_ESCAPED_NUL = "\\u0000"
_REPLACEMENT = "\ufffd"


def dumps(value: Any) -> str:
    """Return the JSON text of whatever a graph says."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS).decode()
    except orjson.JSONEncodeError:
        # A lone surrogate, an integer over 64 bits: rare enough to look for them only now.
        return orjson.dumps(_clean(value), default=_plain, option=_OPTIONS).decode()


def storable(value: Any) -> str:
    """Return JSON text that a jsonb column takes: it refuses NUL in a text."""
    text = dumps(value)
    return dumps(_clean(orjson.loads(text))) if _ESCAPED_NUL in text else text


def interrupt(pending: Interrupt) -> dict[str, Any]:
    """Return an interrupt in the fields that LangGraph's clients know."""
    return {"id": pending.id, "value": pending.value}


def clean_text(text: str) -> str:
    """Return a text without what PostgreSQL refuses: NUL and lone surrogates."""
    return text.encode(errors="replace").decode().replace("\x00", _REPLACEMENT)


@functools.singledispatch
def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return str(value)


@_plain.register
def _(value: BaseModel) -> Any:
    return value.model_dump()


@_plain.register
def _(value: Interrupt) -> Any:
    return interrupt(value)


@_plain.register
def _(value: Mapping) -> Any:  # type: ignore[type-arg]
    return dict(value)


@_plain.register(set)
@_plain.register(frozenset)
def _(value: Iterable[Any]) -> Any:
    return list(value)


@_plain.register
def _(value: bytes) -> Any:
    return value.decode(errors="replace")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value if not isinstance(value, BaseModel) else _clean(value.model_dump())
