"""Graphs that show Django each way a run can go."""

import asyncio
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class State(TypedDict, total=False):
    text: str
    approval_id: str
    result: Any
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(node):
    builder = StateGraph(State)
    builder.add_node(node)
    builder.add_edge(START, node.__name__)
    builder.add_edge(node.__name__, END)
    return builder


async def shout(state: State):
    return {"result": state["text"].upper()}


async def ask(state: State):
    return {"result": interrupt({"type": "approval", "approval_id": state["approval_id"]})}


async def fail(state: State):
    raise ValueError(state["text"])


async def wait_forever(state: State):
    get_stream_writer()("waiting")
    await asyncio.Event().wait()


async def chat(state: State):
    get_stream_writer()({"thinking": 0.5})
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="answer-1")]))
    return {"messages": [await model.ainvoke("How many?")], "result": 3}


echo = graph_of(shout)
asking = graph_of(ask)
failing = graph_of(fail)
endless = graph_of(wait_forever)
telling = graph_of(chat)
