"""Graphs that do one thing each."""

import asyncio
import operator
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class State(TypedDict, total=False):
    text: str
    answers: Annotated[list[Any], operator.add]


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(*nodes, schema=State):
    builder = StateGraph(schema)
    for node in nodes:
        builder.add_node(node)
    builder.add_edge(START, nodes[0].__name__)
    for first, second in zip(nodes, [*nodes[1:], None], strict=True):
        builder.add_edge(first.__name__, second.__name__ if second else END)
    return builder


async def shout(state: State):
    return {"text": state["text"].upper()}


async def ask(state: State):
    return {"answers": [interrupt({"question": state["text"]})]}


async def ask_again(state: State):
    return {"answers": [interrupt({"question": "And?"})]}


async def fail(state: State):
    raise ValueError(state["text"])


async def wait_forever(state: State):
    get_stream_writer()("waiting")
    await asyncio.Event().wait()


def hold(state: State):
    """Wait until somebody makes the file whose path is the text."""
    writer = get_stream_writer()
    writer("held")
    while not Path(state["text"]).exists():
        time.sleep(0.02)
    writer("released")
    return {"answers": ["released"]}


async def count(state: State):
    writer = get_stream_writer()
    for number in range(20):
        writer(number)
    return {"answers": list(range(20))}


async def chat(state: Conversation):
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="answer-1")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


echo = graph_of(shout)
asking = graph_of(ask, shout)
failing = graph_of(fail)
endless = graph_of(wait_forever)
counting = graph_of(count)
held = graph_of(hold, shout)
chatting = graph_of(chat, schema=Conversation)

asking_twice = StateGraph(State)
asking_twice.add_node(ask)
asking_twice.add_node(ask_again)
asking_twice.add_edge(START, "ask")
asking_twice.add_edge(START, "ask_again")
