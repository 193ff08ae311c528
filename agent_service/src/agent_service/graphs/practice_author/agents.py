"""Agents of one step each: a model that has to make one tool call, or to answer with data."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    ModelRetryMiddleware,
    hook_config,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent_service import exceptions, models
from shared_schemas.problems import ErrorCode

Agent = CompiledStateGraph[Any, Any, Any, Any]

MAX_ANSWERS = 3
"""How often a model is asked within one step: once, and again after what it can correct."""


class OneStep(AgentMiddleware[Any, Any, Any]):
    """Holds a model to its step: it must call a tool, may correct a call that went wrong, and is then done."""

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        if sum(isinstance(message, AIMessage) for message in request.messages) >= MAX_ANSWERS:
            raise exceptions.RunFailed(
                ErrorCode.MODEL_FAILED, f"The model did not do as asked in {MAX_ANSWERS} answers."
            )
        return await handler(request.override(tool_choice="any") if request.tools else request)

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - its base's
        """Ask again when no call could be read; the agent then tells the model so."""
        answer = state["messages"][-1]
        unreadable = isinstance(answer, AIMessage) and answer.invalid_tool_calls and not answer.tool_calls
        return {"jump_to": "model"} if unreadable else None

    @hook_config(can_jump_to=["model"])
    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - its base's
        """Ask again when the call of a `return_direct` tool went wrong: the agent ends after any answer of it."""
        answer = state["messages"][-1]
        failed = isinstance(answer, ToolMessage) and answer.status == "error"
        return {"jump_to": "model"} if failed else None


def make(
    model: BaseChatModel, tools: Sequence[BaseTool] = (), *, name: str, answer: type[Any] | None = None
) -> Agent:
    """Build an agent that calls one of the tools, or answers with an `answer`."""
    again = ModelRetryMiddleware(
        max_retries=1, retry_on=models.is_worth_asking_again, on_failure="error", initial_delay=0.2
    )
    return create_agent(model, list(tools), middleware=[OneStep(), again], response_format=answer, name=name)


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
