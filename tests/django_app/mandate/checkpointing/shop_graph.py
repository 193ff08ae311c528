"""A graph that asks a person and may fail, for the command that runs graphs in Django."""

from typing import TypedDict

from django.contrib.auth.models import Group
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    name: str
    groups: int
    answer: str
    messages: list


async def count(state):
    await Group.objects.acreate(name=state["name"])
    return {"groups": await Group.objects.acount(), "messages": [AIMessage("counted", id="ai-1")]}


def ask(state):
    if not state["name"]:
        raise ValueError("nobody to ask about")
    return {"answer": interrupt({"question": f"Keep {state['name']}?"})}


builder = StateGraph(State).add_node("count", count).add_node("ask", ask)
builder.add_edge(START, "count").add_edge("count", "ask")

compiled = builder.compile()


def make():
    return builder


not_a_graph = "graph"
