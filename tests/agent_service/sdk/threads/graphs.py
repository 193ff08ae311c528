"""Graphs whose threads are looked at and changed."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt


class State(TypedDict, total=False):
    text: str
    trail: Annotated[list[Any], operator.add]


def graph_of(*nodes):
    builder = StateGraph(State)
    for node in nodes:
        builder.add_node(node)
    builder.add_edge(START, nodes[0].__name__)
    for before, after in zip(nodes, [*nodes[1:], None], strict=True):
        builder.add_edge(before.__name__, after.__name__ if after else END)
    return builder


async def first(state: State):
    return {"trail": ["first"]}


async def second(state: State):
    return {"trail": ["second"]}


async def ask(state: State):
    return {"trail": [interrupt({"question": state["text"]})]}


async def ask_again(state: State):
    return {"trail": [interrupt({"question": "And?"})]}


async def hold(state: State):
    await asyncio.Event().wait()


async def tell(state: State, config: RunnableConfig, runtime: Runtime):
    said = {
        "tone": config["configurable"].get("tone"),
        "place": config["configurable"].get("place"),
        "topic": config["metadata"].get("topic"),
        "context": runtime.context,
    }
    return {"trail": [said]}


def agent(model, tools):
    """An agent of LangChain's, whose model is never asked here."""
    return create_agent(model, tools, name="agent")


adding = graph_of(first, second)
asking = graph_of(first, ask, second)
holding = graph_of(first, hold, second)
configured = graph_of(tell)

asking_twice = StateGraph(State)
asking_twice.add_node(ask)
asking_twice.add_node(ask_again)
asking_twice.add_edge(START, "ask")
asking_twice.add_edge(START, "ask_again")

nested = StateGraph(State)
nested.add_node("inner", graph_of(first, ask).compile())
nested.add_node(second)
nested.add_edge(START, "inner")
nested.add_edge("inner", "second")
