"""What pruning leaves is enough to go on, and nothing more."""

import contextlib
import operator
import threading
import uuid
from typing import Annotated, TypedDict

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from mandate import models


def extend(have, more):
    return [*have, *(item for items in more for item in items)]


class Answer(TypedDict):
    answer: str


class State(Answer):
    trail: Annotated[list[str], operator.add]
    deltas: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=4)]


def step(_state):
    return {"trail": ["step"], "deltas": ["step"]}


def ask(_state):
    return {"answer": interrupt("go on?")}


def inner():
    return StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").compile()


@pytest.fixture
def graph(saver):
    builder = StateGraph(State).add_node("step", step).add_node("inner", inner())
    return builder.add_edge(START, "step").add_edge("step", "inner").compile(checkpointer=saver)


@pytest.fixture
def ask_once(graph, thread):
    def run():
        async_to_sync(graph.ainvoke)({"deltas": ["in"]}, thread)
        async_to_sync(graph.ainvoke)(Command(resume="yes"), thread)

    return run


def rows():
    return {
        model.__name__: model.objects.count()
        for model in (models.Checkpoint, models.CheckpointBlob, models.CheckpointWrite)
    }


@pytest.mark.django_db
@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
def test_a_pruned_thread_has_the_same_state_and_goes_on(graph, saver, thread, ask_once, times):
    for _ in range(times):
        ask_once()
    before, many = async_to_sync(graph.aget_state)(thread).values, models.Checkpoint.objects.count()

    saver.prune([thread["configurable"]["thread_id"]])

    assert async_to_sync(graph.aget_state)(thread).values == before
    assert models.Checkpoint.objects.count() < many
    ask_once()
    assert async_to_sync(graph.aget_state)(thread).values["trail"] == [*before["trail"], "step"]


@pytest.mark.django_db
def test_a_thread_that_waits_for_an_answer_gets_it_after_pruning(graph, saver, thread):
    async_to_sync(graph.ainvoke)({"deltas": ["in"]}, thread)

    saver.prune([thread["configurable"]["thread_id"]])
    result = async_to_sync(graph.ainvoke)(Command(resume="yes"), thread)

    assert (result["trail"], result["answer"]) == (["step"], "yes")


@pytest.mark.django_db
def test_a_long_thread_is_pruned_to_the_size_of_a_short_one(graph, saver, thread, ask_once):
    # As many as lie between two snapshots of the channel of deltas.
    sizes = []
    for _ in range(3):
        for _ in range(4):
            ask_once()
        saver.prune([thread["configurable"]["thread_id"]])
        sizes.append(rows())

    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.django_db
def test_no_value_is_left_that_no_checkpoint_has(graph, saver, thread, ask_once):
    ask_once()
    ask_once()

    saver.prune([thread["configurable"]["thread_id"]])

    needed = {
        (one.namespace, channel, version)
        for one in models.Checkpoint.objects.all()
        for channel, version in one.body["channel_versions"].items()
    }
    assert set(models.CheckpointBlob.objects.values_list("namespace", "channel", "version")) == needed


@pytest.mark.django_db
def test_a_copy_goes_its_own_way(graph, saver, thread, ask_once):
    ask_once()
    copied = {"configurable": {"thread_id": str(uuid.uuid4())}}
    saver.copy_thread(thread["configurable"]["thread_id"], copied["configurable"]["thread_id"])

    async_to_sync(graph.aupdate_state)(copied, {"trail": ["copied"]})

    assert async_to_sync(graph.aget_state)(copied).values["trail"] == ["step", "copied"]
    assert async_to_sync(graph.aget_state)(thread).values["trail"] == ["step"]


@pytest.mark.django_db
def test_nothing_is_copied_over_a_thread_that_has_something(graph, saver, thread, ask_once):
    ask_once()
    thread_id = thread["configurable"]["thread_id"]

    with pytest.raises(ValueError, match="checkpoints of its own"):
        saver.copy_thread(str(uuid.uuid4()), thread_id)


@pytest.mark.django_db
def test_a_deleted_thread_leaves_nothing(saver, thread, ask_once):
    ask_once()

    saver.delete_thread(thread["configurable"]["thread_id"])

    assert set(rows().values()) == {0}


@pytest.mark.django_db
def test_deleting_a_run_leaves_the_values_that_another_one_has(saver):
    place = {"thread_id": "t", "checkpoint_ns": ""}
    shared = {"a": saver.get_next_version(None, None)}
    for run in ("run-1", "run-2"):
        checkpoint = empty_checkpoint() | {
            "id": str(uuid6()),
            "channel_values": {"a": "kept"},
            "channel_versions": shared,
        }
        saver.put({"configurable": place}, checkpoint, {"run_id": run}, shared)

    saver.delete_for_runs(["run-1"])

    (left,) = saver.list({"configurable": place})
    assert left.metadata["run_id"] == "run-2"
    assert left.checkpoint["channel_values"] == {"a": "kept"}


@pytest.mark.parametrize(
    ("threads", "strategy", "error"),
    [
        pytest.param(["t"], "shrink", ValueError, id="strategy"),
        pytest.param("t", "delete", TypeError, id="text"),
    ],
)
def test_a_wrong_request_prunes_nothing(saver, threads, strategy, error):
    with pytest.raises(error):
        saver.prune(threads, strategy=strategy)


@pytest.fixture
def put(saver, thread):
    """Adds a checkpoint whose one value is its number."""
    place = {"configurable": thread["configurable"] | {"checkpoint_ns": ""}}

    def add(number):
        version = saver.get_next_version(None, None)
        checkpoint = empty_checkpoint() | {
            "id": str(uuid6()),
            "channel_values": {"number": number},
            "channel_versions": {"number": version},
        }
        return saver.put(place, checkpoint, {"step": number}, {"number": version})

    return add


@pytest.fixture
def once_before():
    """Does something in another thread before the first statement that names a table."""

    @contextlib.contextmanager
    def interfere(table, act):
        todo = [act]

        def watch(execute, sql, *rest):
            if table in sql and todo:
                worker = threading.Thread(target=todo.pop())
                worker.start()
                worker.join()
            return execute(sql, *rest)

        with connection.execute_wrapper(watch):
            yield
        assert not todo

    return interfere


@pytest.mark.django_db(transaction=True)
def test_what_is_pruned_while_it_is_read_is_never_half_of_it(saver, thread, put, once_before):
    put(1)

    def go_on():
        put(2)
        saver.prune([thread["configurable"]["thread_id"]])

    with once_before("mandate_checkpointblob", go_on):
        found = saver.get_tuple(thread)

    assert (found.metadata["step"], found.checkpoint["channel_values"]) == (2, {"number": 2})


@pytest.mark.django_db(transaction=True)
def test_what_was_pruned_while_it_was_asked_for_is_not_there(saver, thread, put, once_before):
    first = put(1)

    def go_on():
        put(2)
        saver.prune([thread["configurable"]["thread_id"]])

    with once_before("mandate_checkpointblob", go_on):
        found = saver.get_tuple(first)

    assert found is None


@pytest.mark.django_db(transaction=True)
def test_what_a_run_adds_while_its_thread_is_pruned_stays(saver, thread, put, once_before):
    put(1)
    put(2)

    with once_before('"mandate_checkpoint"."checkpoint_id" <', lambda: put(3)):
        saver.prune([thread["configurable"]["thread_id"]])

    assert [one.checkpoint["channel_values"] for one in saver.list(thread)] == [{"number": 3}, {"number": 2}]
