from datetime import timedelta

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeTimeoutError

from agent_service import exceptions
from agent_service.graphs.research import graph as research
from agent_service.testing import django, model_server, scripts
from shared_schemas.problems import ErrorCode

QUESTION = {"query": "How do I join two tables?"}


def fail(provider, *faults):
    provider.set(model_server.Control(faults=[scripts.Fault.model_validate(fault) for fault in faults]))


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-4-6", "gemini-3-flash-preview"])
async def test_an_answer_cites_what_was_found(researcher, run, library, model):
    state = await run(await researcher(model), QUESTION)

    result = state["result"]
    assert result["answer"] == 'The course treats "How do I join two tables?" in "Joining tables".'
    assert result["citations"] == library.records[:1]
    assert result["findings"][0]["quote"] in library.records[0]["snippet"]
    assert result["verdict"] == {"passed": True, "reasons": []}
    assert result["error"] is None
    assert library.asked == [QUESTION["query"]]


async def test_nothing_found_is_said_without_asking_a_model(researcher, run, library, provider):
    library.records = []

    state = await run(await researcher(), QUESTION)

    assert state["result"]["answer"] == research.NOTHING_FOUND
    assert state["result"]["citations"] == []
    assert not provider.requests


async def test_the_branches_run_side_by_side(researcher, run):
    graph = await researcher()
    await run(graph, QUESTION)

    history = graph.aget_state_history({"configurable": {"thread_id": "thread"}})
    steps = [sorted(snapshot.next) for snapshot in [past async for past in history][::-1]]

    assert steps[1:] == [["research"], ["check", "summarise"], ["judge"], ["answer"], []]


async def test_a_citation_of_anything_else_fails_the_verdict(researcher, run, library):
    state = await run(await researcher("gpt-4.1-inventive"), QUESTION)

    result = state["result"]
    assert result["verdict"]["passed"] is False
    assert "'lesson-999'" in result["error"]
    assert "lesson 999" not in result["answer"]
    assert result["citations"] == library.records


async def test_a_quotation_that_the_record_does_not_hold_fails_the_verdict(researcher, run, provider):
    finding = {"claim": "It is easy.", "ref": "task-7", "quote": "It is easy."}
    wrong = {"structured": {"name": "ResearchFindings", "value": {"findings": [finding]}}}
    provider.script = scripts.Script(
        rules=[
            scripts.Rule.model_validate({"when": {"wants": "ResearchFindings"}, "answer": wrong}),
            *provider.script.rules,
        ]
    )

    state = await run(await researcher(), QUESTION)

    assert state["result"]["verdict"]["reasons"] == ["'task-7' does not say 'It is easy.'."]


async def test_a_node_is_tried_again_after_a_pause(researcher, run, provider):
    fail(provider, {"kind": "status", "status": 503})

    state = await run(await researcher(), QUESTION)

    assert state["result"]["verdict"]["passed"]
    assert len(provider.requests) == 3


async def test_the_fallback_answers_for_a_model_that_is_away(researcher, run, provider):
    away = {"when": {"model": "^gpt"}, "answer": {}, "faults": [{"kind": "status", "status": 500}] * 2}
    provider.script = scripts.Script(rules=[scripts.Rule.model_validate(away), *provider.script.rules])

    state = await run(await researcher("gpt-4.1", "claude-sonnet-4-6"), QUESTION)

    assert state["result"]["verdict"]["passed"]
    assert sorted(body["model"] for body in provider.requests) == ["claude-sonnet-4-6"] * 2 + ["gpt-4.1"] * 2


async def test_a_model_that_cannot_do_its_step_is_handled(researcher, run, provider, library):
    fail(provider, *[{"kind": "answer", "answer": {"text": "Sure!"}}] * 4)

    state = await run(await researcher(), QUESTION)

    result = state["result"]
    assert result["error"].startswith("The summary failed: ")
    assert result["verdict"]["passed"] is False
    assert result["citations"] == library.records
    assert "Joining tables [lesson-3]" in result["answer"]
    assert len(provider.requests) == 4


async def test_a_provider_that_stays_away_fails_the_run_and_a_resume_goes_on(
    researcher, run, provider, library
):
    graph = await researcher()
    fail(provider, *[{"kind": "status", "status": 503}] * 6)
    with pytest.raises(Exception, match="503"):
        await run(graph, QUESTION)

    provider.set(model_server.Control())
    state = await run(graph, None)

    assert state["result"]["verdict"]["passed"]
    assert len(library.asked) == 1


async def test_a_model_that_does_not_answer_is_given_up_in_time(library, run, provider, all_providers):
    fail(provider, *[{"kind": "hang"}] * 6)
    graph = research.make_graph(all_providers.get("gpt-4.1"), [], step_timeout=timedelta(seconds=1.5))
    graph.checkpointer = InMemorySaver()

    with pytest.raises(NodeTimeoutError):
        await run(graph, QUESTION)

    assert 4 <= len(provider.requests) <= 6


async def test_a_search_that_fails_fails_the_run(researcher, run, subject, provider):
    subject.faults.append(django.Fault(status=500, tool="search_course"))

    with pytest.raises(exceptions.RunFailed) as caught:
        await run(await researcher(), QUESTION)

    assert caught.value.code is not ErrorCode.MODEL_FAILED
    assert not provider.requests


@pytest.mark.parametrize("given", [{"query": ""}, {"query": "x" * 20_001}])
async def test_input_that_does_not_fit_fails_the_run(researcher, run, given):
    with pytest.raises(exceptions.RunFailed, match="/query") as caught:
        await run(await researcher(), given)

    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_a_conversation_keeps_its_messages_and_begins_each_answer_anew(researcher, run, library):
    graph = await researcher()
    await run(graph, QUESTION)
    library.records = []

    state = await run(graph, {"query": "And dinosaurs?"})

    assert [message.text for message in state["messages"] if isinstance(message, HumanMessage)] == [
        QUESTION["query"],
        "And dinosaurs?",
    ]
    assert state["result"]["answer"] == research.NOTHING_FOUND
    assert state["result"]["findings"] == []
