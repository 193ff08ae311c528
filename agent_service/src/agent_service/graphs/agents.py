"""Agents of one step each: a model that has to make one tool call, or to answer with data.

A model that does otherwise is told so once; then the run fails.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelResponse,
    ModelRetryMiddleware,
    hook_config,
)
from langchain.agents.structured_output import StructuredOutputError, StructuredOutputValidationError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent_service import exceptions, models
from shared_schemas.problems import ErrorCode

Agent = CompiledStateGraph[Any, Any, Any, Any]

MAX_ANSWERS = 2
"""How often a model is asked within one step: once, and again after what it can correct."""

_CALL_A_TOOL = "That was no call that can be used. Answer by calling one of the tools, with all it needs."


class OneStep(AgentMiddleware[Any, Any, Any]):
    """Holds a model to its step: it must call a tool or answer with data, and may correct itself once."""

    def __init__(self, *, must_call: bool) -> None:
        super().__init__()
        self.must_call = must_call

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        answers = sum(isinstance(message, AIMessage) for message in request.messages)
        if answers >= MAX_ANSWERS:
            raise exceptions.RunFailed(
                ErrorCode.MODEL_FAILED, f"The model did not do as asked in {MAX_ANSWERS} answers."
            )
        if request.tools:
            request = request.override(tool_choice="any")
        try:
            return await handler(request)
        except StructuredOutputValidationError as error:
            if answers + 1 >= MAX_ANSWERS:
                raise
            told = [*_kept(error.ai_message), HumanMessage(_fault(error))]
            return await handler(request.override(messages=[*request.messages, *told]))

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - its base's
        """Ask again when nothing was called, or no call could be read; of the latter the agent tells the model."""
        answer = state["messages"][-1]
        if not isinstance(answer, AIMessage) or answer.tool_calls or "structured_response" in state:
            return None
        if answer.invalid_tool_calls:
            return {"jump_to": "model"}
        return {"jump_to": "model", "messages": [HumanMessage(_CALL_A_TOOL)]} if self.must_call else None

    @hook_config(can_jump_to=["model"])
    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - its base's
        """Ask again when the call of a `return_direct` tool went wrong: the agent ends after any answer of it."""
        answer = state["messages"][-1]
        failed = isinstance(answer, ToolMessage) and answer.status == "error"
        return {"jump_to": "model"} if failed else None


def make(
    model: BaseChatModel,
    tools: Sequence[BaseTool] = (),
    *,
    name: str,
    answer: type[Any] | None = None,
    fallback: BaseChatModel | None = None,
) -> Agent:
    """Build an agent that calls one of the tools, or answers with an `answer`.

    That comes by the provider's own structured output where the model has it, else by a tool call.
    A step that the model cannot do is done by `fallback`.
    """
    again = ModelRetryMiddleware(
        max_retries=1, retry_on=_is_worth_asking_again, on_failure="error", initial_delay=0.2
    )
    instead: list[AgentMiddleware[Any, Any, Any]] = [ModelFallbackMiddleware(fallback)] if fallback else []
    held = OneStep(must_call=bool(tools) or answer is not None)
    return create_agent(
        model, list(tools), middleware=[*instead, held, again], response_format=answer, name=name
    )


def called(messages: Sequence[AnyMessage], *names: str) -> tuple[dict[str, Any], Any]:
    """Return the arguments and the result of the last call of one of the tools.

    Raises:
        RunFailed: the model called none of them with success.
    """
    answers = {
        message.tool_call_id: message
        for message in messages
        if isinstance(message, ToolMessage) and message.name in names and message.status == "success"
    }
    for message in reversed(messages):
        for call in message.tool_calls if isinstance(message, AIMessage) else []:
            if call["id"] in answers:
                return call["args"], answers[call["id"]].artifact.get("result")
    raise exceptions.RunFailed(ErrorCode.MODEL_FAILED, f"The model did not call {' or '.join(names)}.")


def _is_worth_asking_again(error: Exception) -> bool:
    # An answer of the wrong form is corrected, not asked for blindly.
    return models.is_worth_asking_again(error) and not isinstance(error, StructuredOutputError)


def _kept(answer: AIMessage) -> list[AnyMessage]:
    # Providers refuse a conversation with an empty message in it.
    return [answer] if answer.text else []


def _fault(error: StructuredOutputValidationError) -> str:
    return f"That answer does not fit. Answer again, as asked, with the whole of the data.\n{error.source}"
