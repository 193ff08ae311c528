"""Django's tools as LangGraph sees them.

A bound tool holds no session: it takes the session of its run from the runtime's context
(`context["session"]`) when it is called, so bound tools and compiled graphs may be kept and shared.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import JsonValue

from agent_service import exceptions
from agent_service.tools import client
from shared_schemas import crashing, idempotency
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Effect, ToolCallAnswer, ToolCallStatus, ToolSpec

SESSION = "session"
"""The name under which a run's `ToolSession` stands in the context."""

_RUNTIME = "mandate_runtime"
_ARGUMENTS = "arguments"


class DjangoTool(StructuredTool):
    """A tool whose arguments are the JSON Schema that Django gave."""

    spec: ToolSpec

    def _to_args_and_kwargs(
        self,
        tool_input: str | dict[str, Any],
        tool_call_id: str | None,  # noqa: ARG002 - the runtime holds it
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        # The arguments travel as one mapping: spread as keywords, those named like LangChain's own
        # parameters (`config`, `run_manager`, `runtime`) would be lost.
        assert isinstance(tool_input, dict)
        arguments = {name: value for name, value in tool_input.items() if name != _RUNTIME}
        return (), {_ARGUMENTS: arguments, _RUNTIME: tool_input[_RUNTIME]}


def bind(specs: Iterable[ToolSpec]) -> list[BaseTool]:
    """Return the tools of a mandate for a graph."""
    return [_bind_one(spec) for spec in specs]


async def call_from_node(
    runtime: Runtime[Any], name: str, arguments: Mapping[str, Any], *, step: str, index: int = 0
) -> ToolCallAnswer:
    """Call a tool from a node, without a model.

    `step` and `index` name the call within its node, the same in every attempt and different for every
    call: parallel and repeated executions of one node are told apart by nothing else.
    A call that needs approval interrupts the node, so make it before any other effect of the node.

    Raises:
        RunFailed: the tool was not called; its code says why.
        LeaseLost: another worker has the run.
    """
    session = _session_of(runtime.context)
    assert runtime.execution_info is not None
    origin = ("node", _stable_namespace(runtime.execution_info.checkpoint_ns), step, index)
    try:
        return await _call(session, _spec_of(session, name), arguments, origin=origin, tool_call_id=None)
    except exceptions.ToolCallError as error:
        raise _failure(name, error) from error


async def whole_result(runtime: Runtime[Any], answer: ToolCallAnswer) -> JsonValue:
    """Return an answer's result, the whole of it also where the answer holds only its beginning.

    Keep what is large out of the state: every checkpoint is written with it.

    Raises:
        RunFailed: it cannot be read; its code says why.
        LeaseLost: another worker has the run.
    """
    try:
        return await _session_of(runtime.context).whole(answer)
    except exceptions.ToolCallError as error:
        raise exceptions.RunFailed(error.code, f"Result {answer.result_id}: {error.detail}") from error


def _bind_one(spec: ToolSpec) -> DjangoTool:
    async def call(arguments: dict[str, Any], mandate_runtime: ToolRuntime[Any, Any]) -> ToolMessage:
        return await _call_from_model(spec, arguments, mandate_runtime)

    return DjangoTool(
        name=spec.name,
        description=spec.description,
        args_schema=spec.input_schema,
        coroutine=call,
        return_direct=spec.return_direct,
        spec=spec,
    )


async def _call_from_model(
    spec: ToolSpec, arguments: dict[str, Any], runtime: ToolRuntime[Any, Any]
) -> ToolMessage:
    session = _session_of(runtime.context)
    messages = _messages_in(runtime.state)
    origin = _origin(spec.name, arguments, runtime.tool_call_id, messages)
    try:
        answer = await _call(session, spec, arguments, origin=origin, tool_call_id=runtime.tool_call_id)
    except exceptions.ToolInvalidArguments as error:
        if _corrections(spec.name, session.run_id, messages) >= spec.max_corrections:
            raise _failure(spec.name, error) from error
        return _correction(spec.name, session.run_id, runtime.tool_call_id, error)
    except (exceptions.ToolRejected, exceptions.ToolRepeated) as error:
        if isinstance(error, exceptions.ToolRejected) and not spec.tell_model_rejections:
            raise _failure(spec.name, error) from error
        artifact = {"code": error.code.value}
        return _message(spec.name, runtime.tool_call_id, error.detail, artifact, is_error=True)
    except exceptions.ToolCallError as error:
        raise _failure(spec.name, error) from error
    return _told(spec.name, runtime.tool_call_id, answer)


async def _call(
    session: client.ToolSession,
    spec: ToolSpec,
    arguments: Mapping[str, Any],
    *,
    origin: idempotency.Origin,
    tool_call_id: str | None,
) -> ToolCallAnswer:
    key = None
    if spec.effect is Effect.WRITE:
        key = idempotency.tool_call_key(run_id=session.run_id, thread_id=session.thread_id, origin=origin)
    answer = await session.call(spec.name, arguments, key=key, tool_call_id=tool_call_id)
    while answer.approval is not None:
        crashing.point("interrupt.before")
        # What the resume says does not matter: the stored answer of the same key does.
        interrupt(answer.approval.model_dump(mode="json", by_alias=True))
        answer = await session.call(spec.name, arguments, key=key, tool_call_id=tool_call_id)
    if spec.needs_approval:
        crashing.point("interrupt.after_decision")
    return answer


def _origin(
    name: str, arguments: dict[str, Any], tool_call_id: str | None, messages: Sequence[AnyMessage]
) -> idempotency.Origin:
    wanted = (tool_call_id, name, arguments)
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
            if wanted in calls and message.id:
                return ("msg", message.id, tool_call_id or "", calls.index(wanted))
    raise exceptions.RunFailed(
        ErrorCode.GRAPH_FAILED,
        f"The call of tool {name!r} is in no message with an id of the graph's state; "
        "keep 'messages' in the state, or call the tool from a node with call_from_node().",
    )


def _told(name: str, tool_call_id: str | None, answer: ToolCallAnswer) -> ToolMessage:
    artifact = answer.model_dump(mode="json", exclude_none=True)
    if answer.status is ToolCallStatus.DECLINED:
        reason = answer.note or "no reason was given"
        text = f"A person declined this call, and nothing was done: {reason}"
        return _message(name, tool_call_id, text, artifact, is_error=True)
    text = json.dumps(answer.result, ensure_ascii=False)
    if answer.truncated:
        text += "\n\nThis result is cut: it was too large."
    if answer.note:
        text += f"\n\n{answer.note}"
    return _message(name, tool_call_id, text, artifact, is_error=False)


def _correction(
    name: str, run_id: str, tool_call_id: str | None, error: exceptions.ToolInvalidArguments
) -> ToolMessage:
    places = "\n".join(f"{fault.pointer}: {fault.detail}" for fault in error.errors)
    text = f"Nothing was done: the arguments do not fit. Correct them and call {name} again.\n{places}"
    artifact = {"code": error.code.value, "run_id": run_id}
    return _message(name, tool_call_id, text, artifact, is_error=True)


def _corrections(name: str, run_id: str, messages: Sequence[AnyMessage]) -> int:
    asked = {"code": ErrorCode.INVALID_ARGUMENTS.value, "run_id": run_id}
    return sum(
        isinstance(message, ToolMessage) and message.name == name and message.artifact == asked
        for message in messages
    )


def _message(
    name: str, tool_call_id: str | None, text: str, artifact: dict[str, Any], *, is_error: bool
) -> ToolMessage:
    return ToolMessage(
        text,
        name=name,
        tool_call_id=tool_call_id or "",
        artifact=artifact,
        status="error" if is_error else "success",
    )


def _failure(name: str, error: exceptions.ToolCallError) -> exceptions.RunFailed:
    return exceptions.RunFailed(error.code, f"Tool {name!r}: {error.detail}")


def _session_of(context: Any) -> client.ToolSession:
    # A graph with a context class of its own declares a field of this name.
    session = context.get(SESSION) if isinstance(context, Mapping) else getattr(context, SESSION, None)
    if not isinstance(session, client.ToolSession):
        raise exceptions.RunFailed(
            ErrorCode.TOOL_NOT_GRANTED, "The run has no mandate, and so none of Django's tools."
        )
    return session


def _spec_of(session: client.ToolSession, name: str) -> ToolSpec:
    for spec in session.tools:
        if spec.name == name:
            return spec
    raise exceptions.ToolRefused(ErrorCode.TOOL_NOT_GRANTED, "The run's mandate does not hold it.")


def _messages_in(state: Any) -> Sequence[AnyMessage]:
    """Return the messages of a graph's state, whichever of LangGraph's forms it has."""
    if isinstance(state, list):
        return state
    messages: Sequence[AnyMessage] = (
        state.get("messages", []) if isinstance(state, dict) else getattr(state, "messages", [])
    )
    return messages


def _stable_namespace(checkpoint_ns: str) -> str:
    """Return the namespace without task ids: they differ from attempt to attempt."""
    return "|".join(part.split(":", 1)[0] for part in checkpoint_ns.split("|"))
