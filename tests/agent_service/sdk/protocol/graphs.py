"""Graphs for the agent streaming protocol: each shows one thing that its channels tell."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from agent_service import exceptions


class State(TypedDict, total=False):
    text: str
    answers: Annotated[list[Any], operator.add]


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class Scripted(BaseChatModel):
    """Streams the next of its answers, by how often it has answered in the conversation."""

    answers: list[list[AIMessageChunk]]

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        first, *rest = self._next(messages)
        whole = sum(rest, first)
        message = AIMessage(whole.content, tool_calls=whole.tool_calls, usage_metadata=whole.usage_metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        for chunk in self._next(messages):
            yield ChatGenerationChunk(message=chunk)

    def _next(self, messages):
        given = sum(isinstance(message, AIMessage) for message in messages)
        return [chunk.model_copy() for chunk in self.answers[min(given, len(self.answers) - 1)]]


def text_chunks(text, *, usage=None):
    words = [AIMessageChunk(word) for word in text.split("|")]
    return [*words, AIMessageChunk("", usage_metadata=usage)] if usage else words


def call_chunk(args, *, index=0, **named):
    piece = {"name": None, "id": None, **named, "args": args, "index": index, "type": "tool_call_chunk"}
    return AIMessageChunk("", tool_call_chunks=[piece])


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


async def count(state: State):
    writer = get_stream_writer()
    for number in range(20):
        writer({"name": "progress", "payload": {"number": number}})
    writer("done")
    return {"text": "counted"}


USAGE = {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7}


_stumbled: set[str] = set()


async def stumble(state: Conversation, config: RunnableConfig):
    """Fail once in each thread, by something that passes."""
    thread_id = config["configurable"]["thread_id"]
    if thread_id not in _stumbled:
        _stumbled.add(thread_id)
        raise exceptions.TryAgain("not now")


async def chat(state: Conversation):
    model = Scripted(answers=[text_chunks("one |two |three", usage=USAGE)])
    return {"messages": [await model.ainvoke(state["messages"])]}


async def chat_beside(state: Conversation):
    model = Scripted(answers=[text_chunks("four |five |six")])
    return {"messages": [await model.ainvoke(state["messages"])]}


async def chat_and_stumble(state: Conversation, config: RunnableConfig):
    told = await chat(state)
    await stumble(state, config)
    return told


async def approve(state: Conversation):
    return {"messages": [AIMessage(f"You said {interrupt('Sure?')}.")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def divide(a: int, b: int) -> float:
    """Divide a number by another."""
    return a / b


echo = graph_of(shout)
asking = graph_of(ask, shout)
asking_twice = graph_of(ask, ask_again)
failing = graph_of(fail)
endless = graph_of(wait_forever)
counting = graph_of(count)
chatting = graph_of(chat, schema=Conversation)
stumbling = graph_of(stumble, chat, schema=Conversation)
chatting_again = graph_of(chat_and_stumble, schema=Conversation)
approving = graph_of(approve, schema=Conversation)

asking_both = StateGraph(State)
asking_both.add_node(ask)
asking_both.add_node(ask_again)
asking_both.add_edge(START, "ask")
asking_both.add_edge(START, "ask_again")

asking_beside = StateGraph(State)
asking_beside.add_node(ask)
asking_beside.add_node(wait_forever)
asking_beside.add_edge(START, "ask")
asking_beside.add_edge(START, "wait_forever")

chatting_twice = StateGraph(Conversation)
chatting_twice.add_node(chat)
chatting_twice.add_node(chat_beside)
chatting_twice.add_edge(START, "chat")
chatting_twice.add_edge(START, "chat_beside")

agent = create_agent(
    Scripted(
        answers=[
            [
                *text_chunks("Let me |see."),
                call_chunk("", name="add", id="call-1"),
                call_chunk('{"a": 1,'),
                call_chunk(' "b": 2}'),
            ],
            [call_chunk('{"a": 1, "b": 0}', name="divide", id="call-2")],
        ]
    ),
    tools=[add, divide],
)


def around(inner, schema=State):
    builder = StateGraph(schema)
    builder.add_node("inner", inner.compile())
    builder.add_edge(START, "inner")
    return builder


nested = around(chatting, Conversation)
nested_asking = around(around(asking))
nested_failing = around(failing)
