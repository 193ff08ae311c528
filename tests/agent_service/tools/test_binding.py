import json
from dataclasses import dataclass
from typing import Annotated, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.types import Command, Send
from pydantic import BaseModel

from agent_service import exceptions
from agent_service.testing import django
from agent_service.tools import binding
from shared_schemas import problems, tools
from shared_schemas.problems import ErrorCode

CONFIG = {"configurable": {"thread_id": "thread"}}


class Scripted(BaseChatModel):
    answers: list[AIMessage]
    seen: list[list] = []

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.seen.append(messages)
        return ChatResult(generations=[ChatGeneration(message=self.answers[len(self.seen) - 1])])


def calls(*made, message_id="m1"):
    made = [{"name": name, "args": args, "id": f"{message_id}-{n}"} for n, (name, args) in enumerate(made)]
    return AIMessage("", tool_calls=made, id=message_id)


@pytest.fixture
async def session(open_session):
    return await open_session()


@pytest.fixture
def agent(session):
    def make(*answers):
        model = Scripted(answers=[*answers, AIMessage("Done.", id="end")], seen=[])
        return model, create_agent(model, binding.bind(session.tools), checkpointer=InMemorySaver())

    return make


@pytest.fixture
def run(session):
    async def run_graph(graph, given=None):
        given = {"messages": [HumanMessage("go")]} if given is None else given
        return await graph.ainvoke(given, CONFIG, context={"session": session}, durability="sync")

    return run_graph


def told(state):
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


async def test_the_model_sees_the_schema_that_django_gave(session):
    spec = next(spec for spec in session.tools if spec.name == "add_note")

    bound = next(tool for tool in binding.bind(session.tools) if tool.name == "add_note")

    assert bound.tool_call_schema["properties"] == spec.input_schema["properties"]
    assert bound.description == "Add a note."


async def test_a_result_reaches_the_model_as_json(agent, run):
    _, graph = agent(calls(("add_note", {"text": "a"})))

    state = await run(graph)

    assert json.loads(told(state)[0].text) == {"note": "a"}
    assert told(state)[0].artifact["status"] == "succeeded"


async def test_a_read_has_no_key(agent, run, subject):
    _, graph = agent(calls(("read_notes", {})))

    await run(graph)

    assert subject.requests == [("read_notes", None)]


async def test_parallel_equal_calls_have_different_keys(agent, run, subject):
    _, graph = agent(calls(("add_note", {"text": "a"}), ("add_note", {"text": "a"})))

    await run(graph)

    assert len({key for _, key in subject.requests}) == 2
    assert len(subject.effects) == 2


async def test_calls_of_one_id_are_told_apart_by_their_place(agent, run, subject):
    twins = [{"name": "add_note", "args": {"text": text}, "id": "same"} for text in ("a", "b")]
    _, graph = agent(AIMessage("", tool_calls=twins, id="m1"))

    await run(graph)

    assert len({key for _, key in subject.requests}) == 2


async def test_a_call_made_again_after_a_failure_replays(agent, run, session, subject):
    _, graph = agent(calls(("add_note", {"text": "a"}), ("read_notes", {})))
    subject.faults.append(django.Fault(status=500, tool="read_notes"))

    with pytest.raises(exceptions.RunFailed):
        await run(graph)
    state = await graph.ainvoke(None, CONFIG, context={"session": session}, durability="sync")

    assert state["messages"][-1].text == "Done."
    assert len(subject.effects) == 1
    assert len({key for name, key in subject.requests if name == "add_note"}) == 1


class Reserved(BaseModel):
    """Take names that LangChain uses itself."""

    config: int
    run_manager: int
    runtime: int
    callbacks: int


async def test_arguments_may_have_any_name(agent_with, subject):
    arguments = {"config": 1, "run_manager": 2, "runtime": 3, "callbacks": 4}
    subject.offer("take", Reserved, lambda call: call.model_dump())

    state = await agent_with(calls(("take", arguments)))

    assert json.loads(told(state)[0].text) == arguments


@pytest.fixture
def agent_with(open_session, run, subject):
    async def start(*answers):
        session = await open_session()
        model = Scripted(answers=[*answers, AIMessage("Done.", id="end")], seen=[])
        graph = create_agent(model, binding.bind(session.tools), checkpointer=InMemorySaver())
        return await graph.ainvoke({"messages": [HumanMessage("go")]}, CONFIG, context={"session": session})

    return start


async def test_after_a_direct_tool_the_model_is_not_asked_again(agent, run):
    model, graph = agent(calls(("add_final_note", {"text": "a"})))

    await run(graph)

    assert len(model.seen) == 1


async def test_invalid_arguments_are_corrected_once(agent, run, subject):
    _, graph = agent(calls(("add_note", {"text": ""})), calls(("add_note", {"text": "a"}), message_id="m2"))

    state = await run(graph)

    assert [message.status for message in told(state)] == ["error", "success"]
    assert "/arguments/text" in told(state)[0].text
    assert subject.effects == [("add_note", {"text": "a"})]


async def test_invalid_arguments_twice_fail_the_run(agent, run, subject):
    _, graph = agent(*(calls(("add_note", {"text": ""}), message_id=f"m{n}") for n in range(2)))

    with pytest.raises(exceptions.RunFailed) as caught:
        await run(graph)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENTS
    assert subject.effects == []


async def test_a_business_rule_stops_the_run(agent, run):
    _, graph = agent(calls(("add_note", {"text": "forbidden"})))

    with pytest.raises(exceptions.RunFailed) as caught:
        await run(graph)

    assert caught.value.code is ErrorCode.REJECTED


async def test_a_tool_may_tell_the_model_of_a_business_rule(agent, run):
    _, graph = agent(calls(("add_careful_note", {"text": "forbidden"})))

    state = await run(graph)

    assert told(state)[0].status == "error"
    assert told(state)[0].text == "This note is not allowed."


async def test_a_model_that_repeats_itself_is_told(agent, run, subject):
    body = problems.Problem(title="t", status=422, detail="You did this.", code=ErrorCode.REPEATED_CALL)
    subject.faults.append(django.Fault(status=422, body=body.model_dump_json().encode()))
    _, graph = agent(calls(("add_note", {"text": "a"})))

    state = await run(graph)

    assert [(message.status, message.text) for message in told(state)] == [("error", "You did this.")]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (django.Fault(status=500), ErrorCode.TOOL_FAILED),
        (django.Fault(status=503, retry_after=1000), ErrorCode.UNAVAILABLE),
    ],
)
async def test_a_tool_that_cannot_be_called_fails_the_run(agent, run, subject, fault, code):
    subject.faults.append(fault)
    _, graph = agent(calls(("add_note", {"text": "a"})))

    with pytest.raises(exceptions.RunFailed) as caught:
        await run(graph)

    assert caught.value.code is code


async def test_a_cancelled_run_is_refused(agent, run, subject, session):
    subject.cancel(session.run_id)
    _, graph = agent(calls(("add_note", {"text": "a"})))

    with pytest.raises(exceptions.RunFailed) as caught:
        await run(graph)

    assert caught.value.code is ErrorCode.RUN_NOT_ACTIVE


async def test_a_lost_lease_passes_through(agent, run, open_session, session):
    await open_session(run_id=session.run_id, epoch=2)
    _, graph = agent(calls(("add_note", {"text": "a"})))

    with pytest.raises(exceptions.LeaseLost):
        await run(graph)


async def test_a_run_without_mandate_has_no_tools(agent):
    _, graph = agent(calls(("add_note", {"text": "a"})))

    with pytest.raises(exceptions.RunFailed) as caught:
        await graph.ainvoke({"messages": [HumanMessage("go")]}, CONFIG, context={"model": "gpt-4.1"})

    assert caught.value.code is ErrorCode.TOOL_NOT_GRANTED


async def test_a_pending_call_interrupts_with_what_interfaces_show(agent, run, subject):
    _, graph = agent(calls(("publish_note", {"note_id": 1})))

    state = await run(graph)

    (shown,) = [interrupt.value for interrupt in state["__interrupt__"]]
    assert shown["type"] == "approval"
    assert shown["arguments"] == {"note_id": 1}
    assert {"approval_id", "toolCallId", "expiresAt", "responseSchema"} <= shown.keys()
    assert subject.effects == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_two_pending_calls_are_decided_in_any_order(agent, run, subject, order):
    _, graph = agent(calls(("publish_note", {"note_id": 0}), ("publish_note", {"note_id": 1})))
    state = await run(graph)

    for number in order:
        assert len(state["__interrupt__"]) == len(subject.approvals)
        waiting = {item.value["arguments"]["note_id"]: item for item in state["__interrupt__"]}
        approval_id = next(
            key for key in subject.approvals if str(key) == waiting[number].value["approval_id"]
        )
        subject.approve(approval_id)
        state = await run(graph, Command(resume={waiting[number].id: "decided"}))

    assert state["messages"][-1].text == "Done."
    assert [arguments["note_id"] for _, arguments in subject.effects] == list(order)


async def test_a_resume_without_a_decision_waits_on(agent, run, subject):
    _, graph = agent(calls(("publish_note", {"note_id": 1})))
    state = await run(graph)

    state = await run(graph, Command(resume={state["__interrupt__"][0].id: "approved, says a liar"}))

    assert len(state["__interrupt__"]) == 1
    assert subject.effects == []


async def test_a_declined_call_is_told_to_the_model(agent, run, subject):
    _, graph = agent(calls(("publish_note", {"note_id": 1})))
    state = await run(graph)
    (approval_id,) = subject.approvals
    subject.reject(approval_id, "Too early.")

    state = await run(graph, Command(resume={state["__interrupt__"][0].id: "decided"}))

    assert told(state)[0].status == "error"
    assert "Too early." in told(state)[0].text
    assert subject.effects == []


class Notes(TypedDict):
    texts: list[str]
    kept: Annotated[list, lambda old, new: old + new]


def node_graph(context_schema=None):
    async def keep(given: dict, runtime: Runtime) -> dict:
        answer = await binding.call_from_node(
            runtime, given["tool"], {given["field"]: given["value"]}, step="keep", index=given["index"]
        )
        return {"kept": [answer.result]}

    def spread(state: Notes):
        return [
            Send("keep", {"tool": "add_note", "field": "text", "value": text, "index": index})
            for index, text in enumerate(state["texts"])
        ]

    builder = StateGraph(Notes, context_schema=context_schema)
    builder.add_node("keep", keep)
    builder.add_conditional_edges(START, spread, ["keep"])
    builder.add_edge("keep", END)
    return builder


async def test_parallel_nodes_call_with_keys_of_their_own_that_stay_the_same(run, subject):
    for _ in range(2):
        await run(node_graph().compile(checkpointer=InMemorySaver()), {"texts": ["a", "b"]})

    assert len(subject.requests) == 4
    assert len({key for _, key in subject.requests}) == 2
    assert len(subject.effects) == 2


async def test_a_node_may_only_call_what_the_mandate_holds(open_session):
    session = await open_session("read_notes")
    graph = node_graph().compile()

    with pytest.raises(exceptions.RunFailed) as caught:
        await graph.ainvoke({"texts": ["a"]}, context={"session": session})

    assert caught.value.code is ErrorCode.TOOL_NOT_GRANTED


@dataclass
class Context:
    model: str = ""
    session: object = None


async def test_a_graph_may_have_a_context_class_of_its_own(session, subject):
    builder = node_graph(Context)

    await builder.compile().ainvoke({"texts": ["a"]}, context={"session": session})

    assert subject.effects == [("add_note", {"text": "a"})]


async def test_a_call_outside_the_messages_is_a_bug_of_the_graph(session):
    async def forge(_: Notes):
        call = {"name": "add_note", "args": {"text": "a"}, "id": "c", "type": "tool_call"}
        return Command(goto=Send("tools", [call]))

    builder = StateGraph(Notes)
    builder.add_node("forge", forge)
    builder.add_node("tools", ToolNode(binding.bind(session.tools)))
    builder.add_edge(START, "forge")

    with pytest.raises(exceptions.RunFailed) as caught:
        await builder.compile().ainvoke({"texts": []}, context={"session": session})

    assert caught.value.code is ErrorCode.GRAPH_FAILED


def test_bound_tools_hold_no_session():
    spec = tools.ToolSpec(
        name="a",
        description="b",
        effect="read",
        version="1",
        input_schema={"properties": {}},
        output_schema={},
    )

    (bound,) = binding.bind([spec])

    assert bound.spec is spec
    assert "session" not in repr(bound)
