"""Graphs that do one thing each."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import interrupt


class State(TypedDict, total=False):
    trail: Annotated[list[Any], operator.add]
    hold: bool


class Conversation(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    hold: bool


class Spoilt(TypedDict, total=False):
    kind: str
    place: str
    value: Any


def graph_of(*nodes, schema=State):
    builder = StateGraph(schema)
    for node in nodes:
        builder.add_node(node)
    builder.add_edge(START, nodes[0].__name__)
    for first, second in zip(nodes, [*nodes[1:], None], strict=True):
        builder.add_edge(first.__name__, second.__name__ if second else END)
    return builder


async def first(state: State):
    return {"trail": ["first"]}


async def second(state: State):
    return {"trail": ["second"]}


async def ask(state: State):
    return {"trail": [interrupt({"question": "Sure?"})]}


async def ask_again(state: State):
    return {"trail": [interrupt({"question": "And?"})]}


async def hold(state: State):
    get_stream_writer()("holding")
    if state.get("hold", True):
        await asyncio.Event().wait()
    return {"trail": ["held"]}


async def fail(state: State):
    raise ValueError("broken")


async def call(state: Conversation):
    calls = [{"name": "look", "args": {}, "id": name} for name in ("call-1", "call-2")]
    return {"messages": [AIMessage("", tool_calls=calls)]} if state.get("hold") else {}


async def use(state: Conversation):
    get_stream_writer()("calling")
    if state.get("hold"):
        await asyncio.Event().wait()


async def chat(state: Conversation):
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="answer-1")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


async def flood(state: State):
    for _ in range(60):
        get_stream_writer()("x" * 200_000)


def deep():
    value: Any = "the end"
    for _ in range(300):
        value = [value]
    return value


VALUES = {
    "nul": lambda: "a\x00b",
    "surrogate": lambda: "a\ud800b",
    "nan": lambda: float("nan"),
    "large": lambda: 2**70,
    "deep": deep,
    "stranger": object,
}


async def spoil(state: Spoilt):
    value = VALUES[state["kind"]]()
    if state["place"] == "custom":
        get_stream_writer()({"value": value})
    if state["place"] == "error":
        raise ValueError(value)
    if state["place"] == "interrupt":
        interrupt({"value": value})
    if state["place"] == "key":
        return {"value": {value: 1}}
    return {"value": value} if state["place"] == "state" else {}


async def tell(state: State, config: RunnableConfig, runtime: Runtime):
    told = config["configurable"].get("colour"), (runtime.context or {}).get("size")
    return {"trail": [*told, *config.get("tags", ())]}


adding = graph_of(first, second)
flooding = graph_of(flood)
asking = graph_of(first, ask, second)
holding = graph_of(first, hold, second)
failing = graph_of(first, fail)
calling = graph_of(call, use, schema=Conversation)
chatting = graph_of(chat, schema=Conversation)
spoiling = graph_of(spoil, schema=Spoilt)
configured = graph_of(tell)

asking_twice = StateGraph(State)
asking_twice.add_node(ask)
asking_twice.add_node(ask_again)
asking_twice.add_edge(START, "ask")
asking_twice.add_edge(START, "ask_again")

asking_hold = StateGraph(State)
asking_hold.add_node("inner", graph_of(ask).compile())
asking_hold.add_node(hold)
asking_hold.add_edge(START, "inner")
asking_hold.add_edge("inner", "hold")

nested = StateGraph(State)
nested.add_node("inner", graph_of(first, ask).compile())
nested.add_node(second)
nested.add_edge(START, "inner")
nested.add_edge("inner", "second")
nested.add_edge("second", END)
