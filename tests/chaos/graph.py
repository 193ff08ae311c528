"""A short graph that writes in every way there is: from nodes, from a model in parallel, and by leave of a person."""

import asyncio
import operator
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime

from agent_service.tools import binding

DIRECT = ("direct-0", "direct-1")
ASKED = ("asked-0", "asked-1")
SEALED = "sealed"
LAST = "last"


class State(MessagesState, total=False):
    seen: Annotated[list[str], operator.add]
    """The marks of nodes whose success the graph was told."""


class Clerk(BaseChatModel):
    """A model that asks for two marks at once, then for a seal. Asked again, it says the same with new ids.

    It takes as many seconds to answer as it is told, so that runs are at work side by side.
    """

    @property
    def _llm_type(self) -> str:
        return "clerk"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(float(messages[0].text))
        return self._generate(messages)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        answered = sum(isinstance(message, ToolMessage) for message in messages)
        calls = {0: [("make_mark", name) for name in ASKED], len(ASKED): [("seal_mark", SEALED)]}
        message = AIMessage("", tool_calls=[_call(*call) for call in calls.get(answered, [])])
        return ChatResult(generations=[ChatGeneration(message=message)])


async def first(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    for index, name in enumerate(DIRECT):
        await binding.call_from_node(runtime, "make_mark", {"name": name}, step="first", index=index)
    return {"seen": list(DIRECT)}


async def last(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    await binding.call_from_node(runtime, "make_mark", {"name": LAST}, step="last")
    return {"seen": [LAST]}


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> Any:
    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("clerk", create_agent(Clerk(), list(tools)))
    builder.add_node("last", last)
    builder.add_edge(START, "first")
    builder.add_edge("first", "clerk")
    builder.add_edge("clerk", "last")
    builder.add_edge("last", END)
    return builder.compile()


def _call(name: str, mark: str) -> dict[str, Any]:
    return {"name": name, "args": {"name": mark}, "id": uuid.uuid4().hex, "type": "tool_call"}
