"""A graph of many supersteps, each of which is written down outside when it is done."""

import asyncio
import operator
import os
from pathlib import Path
from typing import Annotated, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

STEPS = 12


class State(TypedDict):
    done: Annotated[list[int], operator.add]


async def step(state: State, config: RunnableConfig):
    number = len(state["done"])
    get_stream_writer()(number)
    await asyncio.sleep(0.5)
    write_down(f"{config['configurable']['thread_id']} {number}\n")
    return {"done": [number]}


def write_down(line: str):
    with Path(os.environ["STEPS_FILE"]).open("a") as file:
        file.write(line)


graph = StateGraph(State)
graph.add_node(step)
graph.add_edge(START, "step")
graph.add_conditional_edges(
    "step", lambda state: "step" if len(state["done"]) < STEPS else END, ["step", END]
)
