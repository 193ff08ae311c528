"""The `@tool` decorator: checks a declaration when it is imported."""

import functools
import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeGuard, get_type_hints

from django.db.models import Model
from pydantic import BaseModel, ConfigDict

from mandate.tools import context as tool_context
from mandate.tools import registry, scopes
from shared_schemas import json_values
from shared_schemas import tools as wire

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SCOPE = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")


class Schema(BaseModel):
    """Base of a tool's arguments: an unknown field is an error that the model is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Repeat(StrEnum):
    """What happens when a model repeats itself: a new call with the same arguments in one run."""

    REPLAY = "replay"
    """It gets the earlier answer and a note; the third repeat is refused, the fifth fails the run."""

    ALLOW = "allow"
    """Each call is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """A call of the tool waits for a person."""

    permission: str
    """Django permission, `app.codename`, that the deciding person must hold at that moment."""

    message: Callable[[tool_context.Context, Any], str] | None = None
    """What the person reads first, from the context and the validated arguments."""

    preview: Callable[[tool_context.Context, Any], str] | None = None
    """HTML of what the call would do, for the page of the question; kept of it is what shows text."""

    record: Callable[[tool_context.Context, Any], Model] | None = None
    """The record that the permission must be held for, from the context and the validated arguments.

    An authentication backend of the project must know permissions on records: Django's own says no to each.
    """

    four_eyes: bool = False
    """The person that the run acts for may not decide."""

    expires_after: timedelta | None = None
    """How long there is to decide; the setting `APPROVAL_LIFETIME` otherwise."""


Undo = Callable[[tool_context.Context, Any, Any], None]


class BadToolError(TypeError):
    """A tool is declared wrongly. The message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One declared tool."""

    name: str
    description: str
    scope: str
    effect: wire.Effect
    function: Callable[..., Any]
    arguments: type[BaseModel]
    result: type[BaseModel]
    version: str
    prepare: Callable[[tool_context.Context, Any], Any] | None
    """Runs before the transaction; its value is the function's third argument."""

    approval: ApprovalRule | None
    records: scopes.Scopes = field(hash=False)
    """What the tool may see of some models, instead of what `tools.records` says."""

    undo: Undo | None
    """Takes the effect back: it is given the context, the arguments and the answer of the call."""

    repeat: Repeat
    return_direct: bool
    max_corrections: int
    tell_model_rejections: bool

    def spec(self) -> wire.ToolSpec:
        """Return the tool as a model sees it."""
        return _spec(self)


def tool(
    *,
    scope: str,
    effect: wire.Effect,
    name: str | None = None,
    return_direct: bool = False,
    approval: ApprovalRule | None = None,
    records: scopes.Scopes | None = None,
    prepare: Callable[[tool_context.Context, Any], Any] | None = None,
    undo: Undo | None = None,
    repeat: Repeat = Repeat.REPLAY,
    max_corrections: int = 1,
    tell_model_rejections: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a tool: the docstring is what the model reads, the two annotations are its schemas.

    The function takes a `Context` and one `Schema`, and the value of `prepare` where that is given;
    it returns a pydantic model. It stays a plain function, to be called and tested as one.

    Raises:
        BadToolError: when the module is imported and the declaration is wrong.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        arguments, result = _schemas(function, expects_prepared=prepare is not None)
        registry.register(
            Tool(
                name=_checked_name(name or function.__name__),
                description=_checked_description(function),
                scope=_checked_scope(function, scope),
                effect=_checked_effect(function, effect, approval),
                function=function,
                arguments=arguments,
                result=result,
                version=_version(arguments, result),
                prepare=prepare,
                approval=approval,
                records=MappingProxyType(dict(records or {})),
                undo=_checked_undo(function, effect, undo),
                repeat=repeat,
                return_direct=return_direct,
                max_corrections=max_corrections,
                tell_model_rejections=tell_model_rejections,
            )
        )
        return function

    return declare


@functools.cache
def _spec(declared: Tool) -> wire.ToolSpec:
    return wire.ToolSpec(
        name=declared.name,
        description=declared.description,
        effect=declared.effect,
        version=declared.version,
        input_schema=declared.arguments.model_json_schema(),
        output_schema=declared.result.model_json_schema(mode="serialization"),
        return_direct=declared.return_direct,
        needs_approval=declared.approval is not None,
        max_corrections=declared.max_corrections,
        tell_model_rejections=declared.tell_model_rejections,
    )


def _schemas(
    function: Callable[..., Any], *, expects_prepared: bool
) -> tuple[type[BaseModel], type[BaseModel]]:
    parameters = list(inspect.signature(function).parameters.values())
    hints = get_type_hints(function)
    expected = 3 if expects_prepared else 2
    if len(parameters) != expected or hints.get(parameters[0].name) is not tool_context.Context:
        shape = (
            "(context: Context, call: Schema, prepared)"
            if expects_prepared
            else "(context: Context, call: Schema)"
        )
        raise BadToolError(f"The tool {function.__qualname__!r} must take {shape}.")
    arguments, result = hints.get(parameters[1].name), hints.get("return")
    if not _is_model(arguments, Schema):
        raise BadToolError(
            f"The second parameter of {function.__qualname__!r} must be a subclass of tools.Schema."
        )
    if not _is_model(result, BaseModel):
        raise BadToolError(f"The tool {function.__qualname__!r} must return a pydantic model.")
    return arguments, result


def _is_model(candidate: Any, base: type[BaseModel]) -> TypeGuard[type[BaseModel]]:
    return inspect.isclass(candidate) and issubclass(candidate, base)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadToolError(f"The tool name {name!r} must be lower case letters, digits and underscores.")
    return name


def _checked_description(function: Callable[..., Any]) -> str:
    description = inspect.getdoc(function)
    if not description:
        raise BadToolError(
            f"The tool {function.__qualname__!r} needs a docstring: it is what the model reads."
        )
    return description


def _checked_scope(function: Callable[..., Any], scope: str) -> str:
    # An empty scope is a system check, so that all of them are listed at once.
    if scope and not _SCOPE.fullmatch(scope):
        raise BadToolError(
            f"The scope {scope!r} of {function.__qualname__!r} must look like 'resource:verb'."
        )
    return scope


def _checked_effect(
    function: Callable[..., Any], effect: wire.Effect, approval: ApprovalRule | None
) -> wire.Effect:
    if approval is not None and effect is wire.Effect.READ:
        raise BadToolError(f"The tool {function.__qualname__!r} only reads; it cannot need an approval.")
    return effect


def _checked_undo(function: Callable[..., Any], effect: wire.Effect, undo: Undo | None) -> Undo | None:
    if undo is None:
        return None
    if effect is wire.Effect.READ:
        raise BadToolError(f"The tool {function.__qualname__!r} only reads; there is nothing to undo.")
    if len(inspect.signature(undo).parameters) != len(("context", "call", "answer")):
        raise BadToolError(f"What undoes {function.__qualname__!r} must take (context, call, answer).")
    return undo


def _version(arguments: type[BaseModel], result: type[BaseModel]) -> str:
    schemas = [arguments.model_json_schema(), result.model_json_schema(mode="serialization")]
    return hashlib.sha256(json_values.canonical(schemas).encode()).hexdigest()[:12]
