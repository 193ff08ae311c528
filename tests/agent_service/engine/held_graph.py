"""A graph that never ends in a process whose environment says HOLD."""

import asyncio
import operator
import os
from typing import Annotated, TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    trail: Annotated[list[str], operator.add]


async def first(state: State):
    return {"trail": ["first"]}


async def gate(state: State):
    if "HOLD" in os.environ:
        get_stream_writer()("held")
        await asyncio.Event().wait()
    return {"trail": ["gate"]}


graph = StateGraph(State)
graph.add_node(first)
graph.add_node(gate)
graph.add_edge(START, "first")
graph.add_edge("first", "gate")
graph.add_edge("gate", END)
