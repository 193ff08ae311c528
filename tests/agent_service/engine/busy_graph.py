"""A graph whose node keeps its whole process busy, and lets nothing else of it run."""

import asyncio
import operator
import time
from typing import Annotated, TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    trail: Annotated[list[str], operator.add]
    seconds: float


async def first(state: State):
    get_stream_writer()("begun")
    # Long enough for the event to leave the process before the next node keeps it busy.
    await asyncio.sleep(0.2)
    return {"trail": ["first"]}


async def compute(state: State):
    end = time.monotonic() + state["seconds"]
    while time.monotonic() < end:
        pass
    return {"trail": ["computed"]}


graph = StateGraph(State)
graph.add_node(first)
graph.add_node(compute)
graph.add_edge(START, "first")
graph.add_edge("first", "compute")
graph.add_edge("compute", END)
