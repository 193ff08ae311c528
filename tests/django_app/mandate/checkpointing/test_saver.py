"""Graphs run with the saver as they do with LangGraph's own in memory."""

import asyncio
import operator
import time
from typing import Annotated, TypedDict

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from mandate import models
from mandate.checkpointing import DjangoSaver


def extend(have, more):
    return [*have, *(item for items in more for item in items)]


class Plan(BaseModel):
    steps: int


class Stranger(BaseModel):
    name: str


class State(TypedDict):
    messages: Annotated[list, add_messages]
    trail: Annotated[list[str], operator.add]
    deltas: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]
    plan: Plan


def plan(_state):
    return {"plan": Plan(steps=2), "trail": ["plan"], "messages": [AIMessage("two steps", id="ai-1")]}


def left(_state):
    return {"trail": ["left"], "deltas": ["left"]}


def right(_state):
    return {"trail": ["right"], "deltas": ["right"]}


def ask(state):
    answer = interrupt({"question": "go on?", "steps": state["plan"].steps})
    return {"trail": [f"answer:{answer}"], "deltas": [answer]}


def fan(_state):
    return [Send("piece", {"name": name}) for name in "abc"]


def piece(given):
    return {"trail": [given["name"]], "deltas": [given["name"]]}


def built():
    inner = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile()
    builder = StateGraph(State)
    for node in (plan, left, right, piece):
        builder.add_node(node.__name__, node)
    builder.add_node("inner", inner)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "left")
    builder.add_edge("plan", "right")
    builder.add_conditional_edges("left", fan, ["piece"])
    builder.add_edge("piece", "inner")
    builder.add_edge("right", END)
    return builder


def connections_there_are():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return set(cursor.fetchall())


QUESTION = {"messages": [HumanMessage("what is a list?", id="human-1")], "deltas": ["start"]}


def worked(saver, config):
    """Run to the question, answer it, and ask the same thread again."""
    graph = built().compile(checkpointer=saver)

    async def run():
        await graph.ainvoke(QUESTION, config)
        await graph.ainvoke(Command(resume="yes"), config)
        return await graph.ainvoke({"deltas": ["again"]}, config)

    return graph, async_to_sync(run)()


@pytest.mark.django_db
def test_a_graph_leaves_the_same_behind_as_in_memory(saver, thread, history):
    expected, result = worked(InMemorySaver(), thread)

    graph, same = worked(saver, thread)

    assert same["trail"] == result["trail"]
    assert history(graph, thread) == history(expected, thread)


@pytest.mark.django_db(transaction=True)
def test_a_synchronous_run_leaves_the_same_behind(saver, thread, history):
    expected, _ = worked(InMemorySaver(), thread)
    graph = built().compile(checkpointer=saver)
    graph.invoke(QUESTION, thread)
    graph.invoke(Command(resume="yes"), thread)
    graph.invoke({"deltas": ["again"]}, thread)

    states = [(state.values, state.next) for state in graph.get_state_history(thread)]

    assert states == [(values, following) for values, following, *_ in history(expected, thread)]


@pytest.mark.django_db(transaction=True)
def test_threads_of_a_synchronous_run_leave_no_connection_open(saver, thread):
    graph = built().compile(checkpointer=saver)

    before = connections_there_are()

    graph.invoke(QUESTION, thread)

    # A backend needs a moment to leave after its client has.
    deadline = time.monotonic() + 20
    while (left := connections_there_are() - before) and time.monotonic() < deadline:
        pass
    assert not left


@pytest.mark.django_db
def test_another_process_goes_on_where_one_stopped(thread):
    first = built().compile(checkpointer=DjangoSaver())
    async_to_sync(first.ainvoke)(QUESTION, thread)

    second = built().compile(checkpointer=DjangoSaver())
    result = async_to_sync(second.ainvoke)(Command(resume="yes"), thread)

    assert result["plan"] == Plan(steps=2)
    assert result["trail"][-1] == "answer:yes"
    assert [message.content for message in result["messages"]] == ["what is a list?", "two steps"]


@pytest.mark.django_db
def test_a_fork_does_not_touch_the_line_that_it_leaves(saver, thread):
    graph, _ = worked(saver, thread)

    async def fork():
        states = [state async for state in graph.aget_state_history(thread)]
        earlier = next(state for state in states if "answer:yes" not in state.values.get("trail", []))
        await graph.aupdate_state(earlier.config, {"trail": ["forked"]}, as_node="piece")
        after = [state async for state in graph.aget_state_history(thread)]
        return states, after

    before, after = async_to_sync(fork)()

    assert [state.values for state in after if state.config in [old.config for old in before]] == [
        state.values for state in before
    ]
    assert after[0].values["trail"][-1] == "forked"


@pytest.mark.django_db
def test_a_failed_node_alone_runs_again(saver, thread):
    done = []

    def firm(_state):
        done.append("firm")
        return {"trail": ["firm"]}

    def shaky(_state):
        done.append("shaky")
        if done.count("shaky") == 1:
            raise ConnectionError("away")
        return {"trail": ["shaky"]}

    builder = StateGraph(State).add_node("firm", firm).add_node("shaky", shaky)
    graph = builder.add_edge(START, "firm").add_edge(START, "shaky").compile(checkpointer=saver)
    with pytest.raises(ConnectionError):
        async_to_sync(graph.ainvoke)({"trail": []}, thread | {"max_concurrency": 1})

    result = async_to_sync(graph.ainvoke)(None, thread)

    assert sorted(result["trail"]) == ["firm", "shaky"]
    assert done.count("firm") == 1


@pytest.mark.django_db
def test_a_rolled_back_transaction_takes_its_checkpoints_with_it(saver, thread):
    graph = built().compile(checkpointer=saver)

    with transaction.atomic():
        async_to_sync(graph.ainvoke)(QUESTION, thread)
        transaction.set_rollback(True)

    assert not models.Checkpoint.objects.exists()
    assert not models.CheckpointBlob.objects.exists()


@pytest.mark.django_db
def test_nodes_use_the_orm_on_the_connection_of_the_checkpoints(saver, thread):
    async def count(_state):
        return {"trail": [str(await Group.objects.acount())]}

    Group.objects.create(name="tutors")
    graph = StateGraph(State).add_node("count", count).add_edge(START, "count").compile(checkpointer=saver)

    result = async_to_sync(graph.ainvoke)({"trail": []}, thread)

    assert result["trail"] == ["1"]


@pytest.mark.django_db
@pytest.mark.parametrize("writes", [1, 50])
def test_writes_take_as_many_queries_however_many_they_are(saver, thread, writes):
    config = thread["configurable"] | {"checkpoint_ns": "", "checkpoint_id": "1"}

    with CaptureQueriesContext(connection) as queries:
        saver.put_writes({"configurable": config}, [("trail", "x")] * writes, "task-1")

    assert len(queries) == 1
    assert models.CheckpointWrite.objects.count() == writes


@pytest.mark.django_db
def test_a_page_of_checkpoints_takes_as_many_queries_as_one(saver, thread):
    worked(saver, thread)
    with CaptureQueriesContext(connection) as for_one:
        list(saver.list(thread, limit=1))

    with CaptureQueriesContext(connection) as for_all:
        listed = list(saver.list(thread, limit=10))

    assert len(listed) == 10
    assert len(for_all) == len(for_one)


@pytest.mark.django_db
def test_a_type_that_no_schema_names_is_not_rebuilt(saver, thread):
    permissive = DjangoSaver(serde=JsonPlusSerializer(allowed_msgpack_modules=True))
    config = {"configurable": thread["configurable"] | {"checkpoint_ns": "", "checkpoint_id": "1"}}
    permissive.put_writes(config, [("guest", Stranger(name="x"))], "task-1")
    permissive.put(
        {"configurable": thread["configurable"] | {"checkpoint_ns": ""}},
        {"v": 4, "id": "1", "ts": "", "channel_values": {}, "channel_versions": {}, "versions_seen": {}},
        {},
        {},
    )

    strict = saver.get_tuple(thread).pending_writes
    told = saver.with_allowlist([(Stranger.__module__, "Stranger")]).get_tuple(thread).pending_writes

    assert [(channel, value) for _, channel, value in strict] == [("guest", {"name": "x"})]
    assert [value for *_, value in told] == [Stranger(name="x")]


@pytest.fixture
async def closed_connections(transactional_db):
    """The thread of `sync_to_async` keeps its connection."""
    yield
    await sync_to_async(close)()


def close():
    connection.close()


async def test_many_runs_share_a_saver_in_one_event_loop(saver, closed_connections):
    graph = built().compile(checkpointer=saver)
    threads = [{"configurable": {"thread_id": f"thread-{number}"}} for number in range(8)]

    await asyncio.gather(*(graph.ainvoke(QUESTION, thread) for thread in threads))
    answers = await asyncio.gather(
        *(graph.ainvoke(Command(resume=thread["configurable"]["thread_id"]), thread) for thread in threads)
    )

    assert [answer["trail"][-1] for answer in answers] == [f"answer:thread-{number}" for number in range(8)]
