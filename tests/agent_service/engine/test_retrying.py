from datetime import timedelta

import httpx
import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from agent_service import exceptions
from agent_service.engine import retrying, run
from shared_schemas.problems import ErrorCode
from tests.agent_service.engine.conftest import State

QUICKLY = timedelta(milliseconds=10)


@pytest.fixture
async def services(open_services):
    return await open_services(retry_delay=QUICKLY)


def failing(stage, name, *errors):
    """Return a node that raises these errors, one a visit, and then works."""
    left = list(errors)

    async def visit(state):
        stage.visits.append(name)
        if left:
            raise left.pop(0)
        return {"trail": [name]}

    return name, visit


def asking_twice(*errors):
    """Return a node that asks, fails by these errors, one a visit, and asks again."""
    left = list(errors)

    async def ask(state):
        first = interrupt({"question": "one"})
        if left:
            raise left.pop(0)
        return {"trail": [first, interrupt({"question": "two"})]}

    return "ask", ask


def inside(graph):
    """Return a graph whose one node is another graph."""
    builder = StateGraph(State)
    builder.add_node("inner", graph.compile())
    builder.add_edge(START, "inner")
    return builder


def asking_then_failing(*errors):
    """Return a node that asks twice, and fails by these errors once both are answered."""
    left = list(errors)

    async def ask(state):
        answers = [interrupt({"question": "one"}), interrupt({"question": "two"})]
        if left:
            raise left.pop(0)
        return {"trail": answers}

    return "ask", ask


@pytest.fixture
def graphs(graphs, stage):
    away = exceptions.TryAgain("not now")
    return graphs | {
        "asking_again": stage.chain(asking_twice(away)),
        "asking_inside": inside(stage.chain(asking_twice(away))),
        "asking_enough": stage.chain(asking_then_failing(away)),
        "asking_in_vain": stage.chain(asking_twice(*[away] * 3)),
        "asking_inside_in_vain": inside(stage.chain(asking_twice(*[away] * 3))),
        "asking_twice_in_vain": stage.chain(asking_then_failing(*[away] * 3)),
        "shaky": stage.chain(stage.node("first"), failing(stage, "shaky", away, away)),
        "shaky_first": stage.chain(failing(stage, "shaky", httpx.ConnectError("no route"))),
        "away": stage.chain(stage.node("first"), failing(stage, "away", *[away] * 4), stage.node("last")),
        "asking_shaky": stage.chain(
            stage.question("ask"), failing(stage, "shaky", away), stage.node("after")
        ),
    }


async def test_a_failed_superstep_is_tried_again_and_no_finished_one(
    services, worker, submission, end_of, stage
):
    ended = await end_of(await services.queue.submit(submission("shaky")))

    assert ended.status is run.RunStatus.SUCCESS
    assert ended.attempt == 3
    assert stage.visits == ["first", "shaky", "shaky", "shaky"]


async def test_the_input_of_a_run_that_is_tried_again_enters_the_state_once(
    services, worker, submission, end_of
):
    payload = run.Payload(input={"trail": ["input"]})
    ended = await end_of(await services.queue.submit(submission("shaky_first", payload=payload)))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert thread.values["trail"] == ["input", "shaky"]


async def test_the_events_say_why_and_when_it_is_tried_again_and_nothing_twice(
    services, worker, submission, end_of
):
    payload = run.Payload(input={"text": "hello"}, stream_modes=("values", "updates"))
    ended = await end_of(await services.queue.submit(submission("shaky", payload=payload)))

    events = [(event.event, event.data) async for event in services.events.read(ended.run_id)]
    notes = [data for name, data in events if name == "retry"]
    shown = [event for event in events if event[0] in {"values", "updates"}]
    assert len(notes) == 2
    assert '"error":"graph_failed","message":"not now"' in notes[0]
    assert len(shown) == len(set(shown)) == 5


async def test_what_fails_each_time_is_a_dead_end_that_a_new_run_goes_on_from(
    services, worker, submission, end_of, stage
):
    failed = await end_of(await services.queue.submit(submission("away")))
    goes_on = submission("away", failed.thread_id, payload=run.Payload(input=None))

    ended = await end_of(await services.queue.submit(goes_on))

    assert failed.status is run.RunStatus.ERROR
    assert failed.error.code is ErrorCode.GRAPH_FAILED
    assert failed.error.message == "not now It was tried 3 times."
    assert ended.status is run.RunStatus.SUCCESS
    assert stage.visits == ["first", *["away"] * 5, "last"]


async def test_what_does_not_pass_fails_at_once(services, worker, submission, end_of):
    ended = await end_of(await services.queue.submit(submission("failing")))

    assert (ended.status, ended.attempt) == (run.RunStatus.ERROR, 1)


async def test_an_answer_is_not_given_again_to_what_comes_behind_it(services, worker, submission, end_of):
    parked = await end_of(await services.queue.submit(submission("asking_shaky")))
    answer = run.Payload(command={"resume": "yes"})

    ended = await end_of(
        await services.queue.submit(submission("asking_shaky", parked.thread_id, payload=answer))
    )

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert thread.values["trail"] == ["yes", "shaky", "after"]


@pytest.fixture
def answer(services, submission, end_of):
    """Return a function that answers the question of a thread, and waits for what comes then."""

    async def send(graph, parked, text):
        payload = run.Payload(command={"resume": text})
        row = await services.queue.submit(submission(graph, parked.thread_id, payload=payload))
        ended = await end_of(row)
        return ended, await services.repository.thread(ended.thread_id, owner=ended.owner)

    return send


@pytest.mark.parametrize("graph", ["asking_again", "asking_inside"])
async def test_a_second_question_of_a_node_is_not_answered_by_the_first_answer(
    services, worker, submission, end_of, answer, graph
):
    parked = await end_of(await services.queue.submit(submission(graph)))

    asked, thread = await answer(graph, parked, "yes")
    [[pending]] = thread.interrupts.values()
    _, done = await answer(graph, parked, "no")

    assert (asked.status, asked.attempt) == (run.RunStatus.SUCCESS, 2)
    assert pending["value"] == {"question": "two"}
    assert done.values["trail"] == ["yes", "no"]


async def test_both_answers_of_a_node_that_asked_twice_survive_its_failure(
    services, worker, submission, end_of, answer
):
    parked = await end_of(await services.queue.submit(submission("asking_enough")))
    await answer("asking_enough", parked, "yes")

    ended, done = await answer("asking_enough", parked, "no")

    assert (ended.status, ended.attempt) == (run.RunStatus.SUCCESS, 2)
    assert done.values["trail"] == ["yes", "no"]


IN_VAIN = ("asking_in_vain", "asking_inside_in_vain")


@pytest.mark.parametrize("graph", IN_VAIN)
async def test_what_a_node_that_failed_was_answered_is_asked_no_more(
    services, worker, submission, end_of, answer, graph
):
    parked = await end_of(await services.queue.submit(submission(graph)))
    asking = await services.repository.thread(parked.thread_id, owner=parked.owner)
    [[pending]] = asking.interrupts.values()

    failed, thread = await answer(graph, parked, "yes")

    again = run.Payload(command={"resume": {pending["id"]: "no"}})
    with pytest.raises(exceptions.RequestError) as refusal:
        await services.queue.submit(submission(graph, parked.thread_id, payload=again))
    assert (failed.status, thread.interrupts) == (run.RunStatus.ERROR, {})
    assert refusal.value.code is ErrorCode.NO_SUCH_INTERRUPT


@pytest.mark.parametrize("graph", [*IN_VAIN, "asking_twice_in_vain"])
async def test_an_answer_without_a_name_is_not_taken_for_the_next_question(
    services, worker, submission, end_of, answer, graph
):
    parked = await end_of(await services.queue.submit(submission(graph)))
    await answer(graph, parked, "yes")
    if graph == "asking_twice_in_vain":
        await answer(graph, parked, "and yes")

    refused, thread = await answer(graph, parked, "no")

    assert refused.error.code is ErrorCode.NO_SUCH_INTERRUPT
    assert thread.interrupts == {}


async def test_a_node_goes_on_with_the_answer_that_it_held_when_it_failed(
    services, worker, submission, end_of, answer
):
    graph = "asking_in_vain"
    parked = await end_of(await services.queue.submit(submission(graph)))
    await answer(graph, parked, "yes")

    goes_on = submission(graph, parked.thread_id, payload=run.Payload(input=None))
    await end_of(await services.queue.submit(goes_on))
    _, done = await answer(graph, parked, "no")

    assert done.values["trail"] == ["yes", "no"]


async def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled(
    open_services, start_worker, submission, stage
):
    services = await open_services(retry_delay=timedelta(hours=1))
    await start_worker(services)
    row = await services.queue.submit(submission("shaky"))
    async for event in services.events.read(row.run_id):
        if event.event == "retry":
            break

    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)
    await services.events.ended(row.run_id)

    cancelled = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    assert cancelled.status is run.RunStatus.INTERRUPTED
    assert thread.status is run.ThreadStatus.INTERRUPTED
    assert thread.values["trail"] == ["first"]


async def test_a_worker_that_is_gone_leaves_the_next_attempt_to_another(
    services, open_services, start_worker, submission, end_of, stage
):
    stop = await start_worker(services)
    row = await services.queue.submit(submission("shaky"))
    async for event in services.events.read(row.run_id):
        if event.event == "retry":
            await stop()
            break

    await start_worker(await open_services(retry_delay=QUICKLY))
    ended = await end_of(row)

    assert ended.status is run.RunStatus.SUCCESS
    assert stage.visits == ["first", "shaky", "shaky", "shaky"]


@pytest.mark.parametrize(
    ("attempt", "drawn", "asked", "expected"),
    [
        pytest.param(1, 1.0, None, 5, id="first"),
        pytest.param(3, 1.0, None, 20, id="doubled twice"),
        pytest.param(30, 1.0, None, 300, id="at most five minutes"),
        pytest.param(1, 0.0, None, 0, id="full jitter"),
        pytest.param(1, 0.0, 12, 12, id="as the provider asked"),
        pytest.param(1, 0.0, 9000, 300, id="a provider that asks for too much"),
    ],
)
def test_pauses_grow_and_differ(attempt, drawn, asked, expected):
    pause = retrying.pause(
        attempt,
        first=timedelta(seconds=5),
        asked=asked and timedelta(seconds=asked),
        draw=lambda low, high: low + drawn * (high - low),
    )

    assert pause == timedelta(seconds=expected)
