"""The graphs that both sides run. Their model answers in this process: it costs the same on both sides."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

QUESTION = {
    "messages": [{"role": "user", "content": "What is the weather in Zurich, and what should I wear?"}]
}
ANSWER = "It is raining in Zurich at nine degrees. Take a coat and an umbrella, and wear shoes that keep dry."
USED = {"input_tokens": 50, "output_tokens": 25, "total_tokens": 75}
SAID = {"model_name": "benchmark", "finish_reason": "stop"}


class Answering(BaseChatModel):
    """Calls the tool first, and answers with its result in view."""

    delay: float = 0
    """Seconds before each answer."""

    pace: float = 0
    """Seconds before each word of a stream."""

    repeated: int = 1

    @property
    def _llm_type(self) -> str:
        return "benchmark"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(self.delay)
        is_last = isinstance(messages[-1], ToolMessage)
        message = AIMessage(
            " ".join([ANSWER] * self.repeated) if is_last else "",
            tool_calls=[] if is_last else [{"id": "call-1", "name": "weather", "args": {"city": "Zurich"}}],
            usage_metadata=USED,
            response_metadata=SAID,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(self.delay)
        if not isinstance(messages[-1], ToolMessage):
            call = {"index": 0, "id": "call-1", "name": "weather", "args": '{"city": "Zurich"}'}
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[call]))
        else:
            for word in " ".join([ANSWER] * self.repeated).split(" "):
                await asyncio.sleep(self.pace)
                yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=USED, response_metadata=SAID))


@tool
async def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"In {city} it rains at 9 degrees."


def _agent(**given: float) -> Any:
    return create_agent(Answering(**given), [weather], system_prompt="You help people dress.")


agent = _agent()
agent_waiting = _agent(delay=1)
agent_held = _agent(delay=20)
streamed = _agent(pace=0.005, repeated=3)


class Count(TypedDict, total=False):
    number: int


async def _add(state: Count) -> Count:
    return {"number": state["number"] + 1}


async def _ask(_: Count) -> Count:
    return {"number": interrupt("How many?")}


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


async def _answer(_: Conversation) -> dict[str, Any]:
    return {"messages": [AIMessage(ANSWER)]}


def _line(state: type[Any], **nodes: Any) -> StateGraph[Any]:
    graph = StateGraph(state)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph


noop4 = _line(Count, one=_add, two=_add, three=_add, four=_add).compile()
parking = _line(Count, ask=_ask).compile()
talk = _line(Conversation, answer=_answer).compile()

INPUTS: dict[str, dict[str, Any]] = {
    "agent": QUESTION,
    "agent_waiting": QUESTION,
    "agent_held": QUESTION,
    "streamed": QUESTION,
    "talk": QUESTION,
    "noop4": {"number": 0},
    "parking": {"number": 0},
}
