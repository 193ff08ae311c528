"""Graphs that show Django each way a run can go."""

import asyncio
import itertools
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel

from agent_service.graphs import agents
from agent_service.tools import binding


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


class Measured(BaseChatModel):
    """A model whose every answer takes 60 tokens."""

    @property
    def _llm_type(self):
        return "measured"

    @property
    def _identifying_params(self):
        return {"model": "measured", "max_tokens": 60}

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        used = {"input_tokens": 0, "output_tokens": 60, "total_tokens": 60}
        message = AIMessage("go on", response_metadata={"model_name": "measured"}, usage_metadata=used)
        return ChatResult(generations=[ChatGeneration(message=message)])


async def consult(state: State):
    await Measured().ainvoke("What now?")


async def write(state: State, runtime: Runtime):
    for text in ("one", "two"):
        await binding.call_from_node(runtime, "keep", {"text": text}, step=text)
    return {"result": "written"}


def consult_write_consult():
    builder = StateGraph(State)
    steps = [("consult", consult), ("write", write), ("consult_again", consult)]
    for name, node in steps:
        builder.add_node(name, node)
    for first, second in itertools.pairwise([START, *(name for name, _ in steps), END]):
        builder.add_edge(first, second)
    return builder


class Verdict(BaseModel):
    """What was found."""

    score: int


def judging(model: BaseChatModel, fallback: BaseChatModel | None = None):
    judge = agents.make(model, name="judge", answer=Verdict, fallback=fallback)

    async def decide(state: State):
        answer = await judge.ainvoke({"messages": [HumanMessage(state["text"])]})
        return {"result": answer["structured_response"].score}

    return graph_of(decide)


echo = graph_of(shout)
asking = graph_of(ask)
failing = graph_of(fail)
endless = graph_of(wait_forever)
telling = graph_of(chat)
writing = consult_write_consult()
