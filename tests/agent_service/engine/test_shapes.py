"""A thread waits, and the graph is changed under it."""

import pytest
from langgraph.types import StateUpdate

from agent_service.engine import run
from agent_service.graphs import shapes
from shared_schemas.problems import ErrorCode

ANSWER = run.Payload(command={"resume": "yes"})


@pytest.fixture
def graphs(graphs, stage):
    inner = stage.chain(stage.question("inside"), stage.node("after inside"))
    return graphs | {"nested": stage.chain(("inner", inner.compile()), stage.node("last"))}


@pytest.fixture
def changed_to(open_services, start_worker, graphs):
    """Return a function that begins to work with another version of a graph."""

    async def change(name, graph):
        graphs[name] = graph
        await start_worker(await open_services())

    return change


@pytest.fixture
async def parked(services, start_worker, submission, end_of):
    """Return a function that runs a graph until it waits, and stops its worker."""

    async def park(name, **changes):
        stop = await start_worker(services)
        row = await end_of(await services.queue.submit(submission(name, **changes)))
        await stop()
        return row

    return park


async def test_a_step_that_is_gone_stops_the_run_and_leaves_the_thread(
    services, submission, parked, end_of, changed_to, stage
):
    row = await parked("asking")
    before = await services.repository.thread(row.thread_id, owner=row.owner)
    await changed_to("asking", stage.chain(stage.question("ask_anew"), stage.node("after")))

    ended = await end_of(await services.queue.submit(submission("asking", row.thread_id, payload=ANSWER)))

    after = await services.repository.thread(row.thread_id, owner=row.owner)
    assert ended.error.code is ErrorCode.GRAPH_VERSION_MISMATCH
    assert "'ask'" in ended.error.message
    assert (after.values, after.interrupts) == (before.values, before.interrupts)
    assert stage.visits == []


async def test_a_step_that_is_gone_from_a_state_that_somebody_changed_stops_the_run(
    services, submission, parked, end_of, changed_to, stage
):
    row = await parked("plain", payload=run.Payload(input={}, interrupt_before=("second",)))
    update = StateUpdate({"trail": ["changed"]}, as_node="first")
    await services.threads.update_state(row.thread_id, update, owner=row.owner)
    await changed_to("plain", stage.chain(stage.node("first"), stage.node("other")))

    goes_on = submission("plain", row.thread_id, payload=run.Payload(input=None))
    ended = await end_of(await services.queue.submit(goes_on))

    assert ended.error.code is ErrorCode.GRAPH_VERSION_MISMATCH
    assert "'second'" in ended.error.message


async def test_the_thread_goes_on_when_the_step_is_back(
    services, open_services, start_worker, submission, parked, end_of, stage, graphs
):
    row, known = await parked("asking"), graphs["asking"]
    graphs["asking"] = stage.chain(stage.question("ask_anew"), stage.node("after"))
    stop = await start_worker(await open_services())
    await end_of(await services.queue.submit(submission("asking", row.thread_id, payload=ANSWER)))
    await stop()
    graphs["asking"] = known
    await start_worker(await open_services())

    ended = await end_of(await services.queue.submit(submission("asking", row.thread_id, payload=ANSWER)))

    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    assert ended.status is run.RunStatus.SUCCESS
    assert thread.values["trail"] == ["yes", "after"]


async def test_a_graph_that_only_grew_goes_on(services, submission, parked, end_of, changed_to, stage):
    row = await parked("asking")
    grown = stage.chain(stage.question("ask"), stage.node("between"), stage.node("after"))
    await changed_to("asking", grown)

    ended = await end_of(await services.queue.submit(submission("asking", row.thread_id, payload=ANSWER)))

    assert ended.status is run.RunStatus.SUCCESS
    assert stage.visits == ["between", "after"]


async def test_a_failed_run_does_not_go_on_without_the_step_it_failed_in(
    services, submission, parked, end_of, changed_to, stage
):
    row = await parked("failing")
    await changed_to("failing", stage.chain(stage.node("first"), stage.node("mended")))
    goes_on = submission("failing", row.thread_id, payload=run.Payload(input=None))

    ended = await end_of(await services.queue.submit(goes_on))

    assert ended.error.code is ErrorCode.GRAPH_VERSION_MISMATCH


async def test_new_input_begins_anew_whatever_waited(services, submission, parked, end_of, changed_to, stage):
    row = await parked("asking")
    await changed_to("asking", stage.chain(stage.node("only")))

    ended = await end_of(await services.queue.submit(submission("asking", row.thread_id)))

    assert ended.status is run.RunStatus.SUCCESS


async def test_a_step_that_is_gone_in_a_subgraph_stops_the_run_too(
    services, submission, parked, end_of, changed_to, stage
):
    row = await parked("nested")
    inner = stage.chain(stage.question("other"), stage.node("after inside"))
    await changed_to("nested", stage.chain(("inner", inner.compile()), stage.node("last")))

    ended = await end_of(await services.queue.submit(submission("nested", row.thread_id, payload=ANSWER)))

    assert ended.error.code is ErrorCode.GRAPH_VERSION_MISMATCH
    assert "'inner.inside'" in ended.error.message


async def test_a_fingerprint_is_of_the_shape_alone(stage):
    one = stage.chain(stage.node("first"), stage.node("second"))
    same = stage.chain(stage.node("first"), stage.question("second"))
    other = stage.chain(stage.node("second"), stage.node("first"))

    texts = [shapes.fingerprint(graph.compile()) for graph in (one, same, other)]

    assert texts[0] == texts[1] != texts[2]
