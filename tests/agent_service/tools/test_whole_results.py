"""Results that were cut, as a graph reads them."""

from typing import TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel

from agent_service import exceptions
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode


class Kept(TypedDict):
    kept: list


class Copy(BaseModel):
    text: str


@pytest.fixture
def graph(subject):
    async def copy(state: Kept, runtime: Runtime) -> dict:
        answer = await binding.call_from_node(runtime, "copy", {"text": "a" * 99}, step="copy")
        if state["kept"]:
            (record,) = subject.runs.values()
            record.whole_results.clear()
        whole = await binding.whole_result(runtime, answer)
        return {"kept": [answer.truncated, len(answer.result), len(whole["note"])]}

    subject.offer("copy", Copy, lambda call: {"note": call.text * 9999})
    return StateGraph(Kept).add_node("copy", copy).add_edge(START, "copy").compile()


async def test_a_node_reads_the_whole_of_a_result_that_was_cut(graph, open_session):
    state = await graph.ainvoke({"kept": []}, context={"session": await open_session("copy")})

    assert state["kept"] == [True, 64 * 1024, 99 * 9999]


async def test_a_result_that_cannot_be_read_fails_the_run(graph, open_session):
    with pytest.raises(exceptions.RunFailed) as caught:
        await graph.ainvoke({"kept": ["lose it"]}, context={"session": await open_session("copy")})

    assert caught.value.code is ErrorCode.NOT_FOUND
