"""LangGraph's RemoteGraph, unmodified."""

import langgraph_sdk
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command


@pytest.fixture
def remote(service, client, headers):
    """Return a function that makes a graph of the service's."""
    with langgraph_sdk.get_sync_client(url=service.url, headers=headers, api_key=None) as without_asyncio:
        yield lambda name: RemoteGraph(name, client=client, sync_client=without_asyncio)


@pytest.fixture
def config(thread_id):
    return {"configurable": {"thread_id": thread_id}}


async def test_it_is_invoked(remote, config):
    values = await remote("adding").ainvoke({"text": "a"}, config)

    assert values == {"text": "a", "trail": ["first", "second"]}


async def test_it_streams(remote, config):
    updates = [part async for part in remote("adding").astream({"text": "a"}, config, stream_mode="updates")]

    assert updates == [{"first": {"trail": ["first"]}}, {"second": {"trail": ["second"]}}]


async def test_it_streams_several_modes(remote, config):
    parts = [
        part
        async for part in remote("adding").astream({"text": "a"}, config, stream_mode=["values", "updates"])
    ]

    assert [part[0] for part in parts] == ["values", "updates", "values", "updates", "values"]


async def test_it_streams_its_subgraphs(remote, config):
    parts = [
        part
        async for part in remote("nested").astream(
            {"text": "a"}, config, stream_mode="updates", subgraphs=True
        )
    ]

    namespaces = [namespace for namespace, update in parts if "first" in update]
    assert [namespace[0].partition(":")[0] for namespace in namespaces] == ["inner"]


async def test_it_is_interrupted_and_resumed(remote, config):
    graph = remote("asking")

    stopped = await graph.ainvoke({"text": "Sure?"}, config)
    state = await graph.aget_state(config)
    values = await graph.ainvoke(Command(resume="yes"), config)

    assert [item["value"] for item in stopped["__interrupt__"]] == [{"question": "Sure?"}]
    assert [item.value for item in state.interrupts] == [{"question": "Sure?"}]
    assert (state.next, values["trail"]) == (("ask",), ["first", "yes", "second"])


async def test_several_interrupts_are_answered_by_their_ids(remote, config):
    graph = remote("asking_twice")
    await graph.ainvoke({"text": "Sure?"}, config)
    state = await graph.aget_state(config)

    answers = {item.id: item.value["question"] for item in state.interrupts}
    values = await graph.ainvoke(Command(resume=answers), config)

    assert sorted(values["trail"]) == ["And?", "Sure?"]


async def test_its_history_is_read(remote, config):
    graph = remote("adding")
    await graph.ainvoke({"text": "a"}, config)

    history = [state async for state in graph.aget_state_history(config)]
    before = [state async for state in graph.aget_state_history(config, before=history[0].config)]
    found = [state async for state in graph.aget_state_history(config, filter={"step": 1}, limit=5)]

    assert [state.next for state in history] == [(), ("second",), ("first",), ("__start__",)]
    assert before == history[1:]
    assert found == [history[1]]


async def test_its_state_is_changed_and_it_goes_on_from_there(remote, config):
    graph = remote("adding")
    await graph.ainvoke({"text": "a"}, config)

    after = await graph.aupdate_state(config, {"trail": ["edited"]}, as_node="first")
    state = await graph.aget_state(after)
    values = await graph.ainvoke(None, config)

    assert state.values["trail"] == ["first", "second", "edited"]
    assert values["trail"] == ["first", "second", "edited", "second"]


async def test_a_subgraphs_state_is_read_and_changed(remote, config):
    graph = remote("nested")
    await graph.ainvoke({"text": "Sure?"}, config)

    (task,) = (await graph.aget_state(config, subgraphs=True)).tasks
    await graph.aupdate_state(task.state.config, {"trail": ["edited"]})
    below = await graph.aget_state(task.state.config)

    assert (task.state.next, task.state.values["trail"]) == (("ask",), ["first"])
    assert below.config["configurable"]["checkpoint_ns"] == task.state.config["configurable"]["checkpoint_ns"]


async def test_it_is_drawn(remote):
    drawing = await remote("asking").aget_graph()
    whole = await remote("nested").aget_graph(xray=True)

    assert set(drawing.nodes) == {"__start__", "first", "ask", "second", "__end__"}
    assert "inner:ask" in whole.nodes


def test_it_works_without_asyncio(remote, config):
    graph = remote("asking")

    graph.invoke({"text": "Sure?"}, config)
    parts = list(graph.stream(Command(resume="yes"), config, stream_mode="updates"))

    assert parts[-1] == {"second": {"trail": ["second"]}}
    assert graph.get_state(config).next == ()


async def test_it_is_invoked_without_a_thread(remote):
    values = await remote("adding").ainvoke({"text": "a"})

    assert values["trail"] == ["first", "second"]
