import asyncio
from datetime import timedelta

import pytest
from langgraph.errors import GraphDrained

from agent_service import exceptions
from agent_service.engine import run
from agent_service.events import log
from shared_schemas.problems import ErrorCode


@pytest.fixture
def open_execution(services):
    """Return a function that claims a run for one more worker, and opens its execution."""

    async def open_one(row):
        claim = await services.worker.leases.claim(row.run_id)
        pen = log.Pen(run_id=row.run_id, epoch=claim.epoch, seq=claim.last_seq)
        return services.worker.executor.open(claim, pen)

    return open_one


@pytest.fixture
def finish(services, open_execution):
    """Return a function that works on a run until its end."""

    async def work(row):
        execution = await open_execution(row)
        outcome = await execution.perform()
        events = await services.events.close(execution.pen)
        ended = await services.worker.leases.end(execution.claim, outcome, events, saver=execution.saver)
        return ended, outcome

    return work


@pytest.fixture
def crash(open_execution, stage):
    """Return a function that works on a run until a gate, and dies there."""

    async def work(row):
        execution = await open_execution(row)
        task = asyncio.create_task(execution.perform())
        await stage.reached.wait()
        task.cancel()
        await asyncio.wait({task})

    return work


async def test_a_graph_runs_to_its_end(services, submission, finish):
    ended, _outcome = await finish(await services.queue.submit(submission()))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert ended.status is run.RunStatus.SUCCESS
    assert thread.status is run.ThreadStatus.IDLE
    assert thread.values == {"text": "hello", "trail": ["first", "second"]}


async def test_a_second_run_goes_on_from_the_state_of_the_first(services, submission, finish):
    first, _ = await finish(await services.queue.submit(submission()))
    second = submission(thread_id=first.thread_id, text="again")

    _, outcome = await finish(await services.queue.submit(second))

    assert outcome.values == {"text": "again", "trail": ["first", "second", "first", "second"]}


async def test_after_a_crash_no_finished_superstep_runs_again(services, submission, crash, finish, stage):
    payload = run.Payload(input={"text": "hello"}, durability="sync")
    row = await services.queue.submit(submission("gated", payload=payload))

    await crash(row)
    stage.go_on.set()
    _, outcome = await finish(row)

    assert stage.visits == ["first", "gate", "gate", "last"]
    assert outcome.values["trail"] == ["first", "gate", "last"]


async def test_input_enters_the_state_once_however_often_workers_die(
    services, submission, crash, finish, stage
):
    payload = run.Payload(input={"text": "hello", "trail": ["input"]}, durability="sync")
    row = await services.queue.submit(submission("gated", payload=payload))

    await crash(row)
    stage.reached.clear()
    await crash(row)
    stage.go_on.set()
    _, outcome = await finish(row)

    assert outcome.values["trail"] == ["input", "first", "gate", "last"]


async def test_an_interrupt_parks_the_thread_and_ends_the_run(services, submission, finish):
    ended, _ = await finish(await services.queue.submit(submission("asking")))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    [[pending]] = thread.interrupts.values()
    assert ended.status is run.RunStatus.SUCCESS
    assert thread.status is run.ThreadStatus.INTERRUPTED
    assert pending["value"] == {"question": "ask"}


async def test_an_answer_resumes_the_thread(services, submission, finish):
    parked, _ = await finish(await services.queue.submit(submission("asking")))
    answer = run.Payload(command={"resume": "yes"})

    ended, outcome = await finish(
        await services.queue.submit(submission("asking", parked.thread_id, payload=answer))
    )

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert outcome.values["trail"] == ["yes", "after"]
    assert (thread.status, thread.interrupts) == (run.ThreadStatus.IDLE, {})


async def test_a_bare_answer_is_kept_under_the_interrupt_it_answers(services, submission, finish):
    parked, outcome = await finish(await services.queue.submit(submission("asking")))
    [[pending]] = outcome.interrupts.values()
    answer = run.Payload(command={"resume": "yes"})

    row = await services.queue.submit(submission("asking", parked.thread_id, payload=answer))

    assert row.payload.command == {"resume": {pending["id"]: "yes"}}


async def test_an_answer_behind_a_run_that_still_works_is_named_by_the_worker(
    services, submission, finish, query
):
    row = await services.queue.submit(submission("asking"))
    answer = run.Payload(command={"resume": "yes"})
    behind = await services.queue.submit(submission("asking", row.thread_id, payload=answer))

    await finish(row)
    _, outcome = await finish(behind)

    [(payload,)] = await query("SELECT payload FROM runs WHERE run_id = %s", behind.run_id)
    assert list(payload["command"]["resume"].values()) == ["yes"]
    assert outcome.values["trail"] == ["yes", "after"]


async def test_an_answer_given_twice_answers_one_interrupt(
    services, submission, finish, open_execution, stage
):
    parked, _ = await finish(await services.queue.submit(submission("asking_twice")))
    answer = run.Payload(command={"resume": "yes"}, durability="sync")
    row = await services.queue.submit(submission("asking_twice", parked.thread_id, payload=answer))

    dying = await open_execution(row)
    await dying.perform()
    ended, _outcome = await finish(row)

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    [[pending]] = thread.interrupts.values()
    assert set(stage.visits) == {"ask was answered 'yes'"}
    assert pending["value"] == {"question": "ask again"}


async def test_an_answer_whose_worker_died_before_it_was_used_is_given_again(
    services, submission, finish, open_execution
):
    parked, _ = await finish(await services.queue.submit(submission("asking")))
    answer = run.Payload(command={"resume": "yes"}, durability="sync")
    row = await services.queue.submit(submission("asking", parked.thread_id, payload=answer))

    await open_execution(row)
    _, outcome = await finish(row)

    assert outcome.values["trail"] == ["yes", "after"]


async def test_a_failure_ends_the_run_and_keeps_its_state(services, submission, finish):
    ended, _ = await finish(await services.queue.submit(submission("failing")))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    events = [event.event async for event in services.events.read(ended.run_id)]
    assert ended.status is run.RunStatus.ERROR
    assert ended.error.model_dump() == {
        "code": ErrorCode.GRAPH_FAILED,
        "message": "ValueError: no such thing",
    }
    assert thread.status is run.ThreadStatus.ERROR
    assert thread.values["trail"] == ["first"]
    assert events[-2:] == ["error", "end"]


async def test_a_failed_run_goes_on_from_its_failed_step(services, submission, finish, graphs, stage):
    ended, _ = await finish(await services.queue.submit(submission("failing")))

    await finish(
        await services.queue.submit(submission("failing", ended.thread_id, payload=run.Payload(input=None)))
    )

    assert stage.visits == ["first"]


async def test_the_steps_of_a_run_are_limited(open_services, submission, graphs, stage):
    services = await open_services(recursion_limit=1)
    row = await services.queue.submit(submission())
    claim = await services.worker.leases.claim(row.run_id)
    pen = log.Pen(run_id=row.run_id, epoch=claim.epoch, seq=0)

    outcome = await services.worker.executor.open(claim, pen).perform()

    assert outcome.error.code is ErrorCode.RECURSION_LIMIT


async def test_the_time_of_a_run_is_limited(open_services, submission):
    services = await open_services(run_timeout=timedelta(milliseconds=50))
    row = await services.queue.submit(submission("gated"))
    claim = await services.worker.leases.claim(row.run_id)
    pen = log.Pen(run_id=row.run_id, epoch=claim.epoch, seq=0)

    outcome = await services.worker.executor.open(claim, pen).perform()

    assert outcome.status is run.RunStatus.TIMEOUT
    assert outcome.error.code is ErrorCode.RUN_TIMEOUT


async def test_a_drained_graph_stops_behind_its_superstep(
    services, submission, open_execution, finish, stage
):
    row = await services.queue.submit(submission("gated"))
    execution = await open_execution(row)
    task = asyncio.create_task(execution.perform())
    await stage.reached.wait()

    execution.control.request_drain()
    stage.go_on.set()
    with pytest.raises(GraphDrained):
        await task
    await finish(row)

    assert stage.visits == ["first", "gate", "last"]


async def test_a_graph_that_is_not_there_fails_the_run(services, submission, finish):
    ended, _ = await finish(await services.queue.submit(submission("nobody")))

    assert ended.error.code is ErrorCode.UNKNOWN_GRAPH


async def test_a_caller_cannot_reach_langgraphs_own_settings(services, submission, finish):
    config = {"configurable": {"__pregel_checkpointer": None, "thread_id": "another"}}
    payload = run.Payload(input={"text": "hello"}, config=config)

    ended, _ = await finish(await services.queue.submit(submission(payload=payload)))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert thread.values["trail"] == ["first", "second"]


async def test_a_worker_that_lost_its_run_writes_no_checkpoint(
    services, submission, open_execution, finish, stage, query
):
    payload = run.Payload(input={"text": "hello"}, durability="sync")
    row = await services.queue.submit(submission("gated", payload=payload))
    asleep = await open_execution(row)
    sleeping = asyncio.create_task(asleep.perform())
    await stage.reached.wait()
    await services.worker.leases.claim(row.run_id)
    before = await query("SELECT count(*) FROM checkpoints")
    stage.go_on.set()

    with pytest.raises(exceptions.LeaseLost):
        await sleeping

    assert await query("SELECT count(*) FROM checkpoints") == before


async def test_the_last_checkpoints_are_written_with_the_runs_end(
    services, open_execution, submission, query
):
    execution = await open_execution(await services.queue.submit(submission()))
    outcome = await execution.perform()
    before = await query("SELECT count(*) FROM checkpoints")

    await services.worker.leases.end(execution.claim, outcome, saver=execution.saver)

    assert before == [(0,)]
    assert await query("SELECT count(*) > 0 FROM checkpoints") == [(True,)]


async def test_who_lost_a_run_ends_it_not_and_writes_no_checkpoint(
    services, open_execution, submission, query
):
    row = await services.queue.submit(submission())
    execution = await open_execution(row)
    outcome = await execution.perform()
    await services.worker.leases.claim(row.run_id)

    with pytest.raises(exceptions.LeaseLost):
        await services.worker.leases.end(execution.claim, outcome, saver=execution.saver)

    assert await query("SELECT status FROM runs") == [("running",)]
    assert await query("SELECT count(*) FROM checkpoints") == [(0,)]


async def test_a_run_that_is_to_be_taken_back_leaves_no_checkpoint(
    services, open_execution, submission, query
):
    row = await services.queue.submit(submission())
    execution = await open_execution(row)
    outcome = await execution.perform()
    await services.queue.cancel(
        row.run_id, thread_id=row.thread_id, owner=row.owner, action=run.CancelAction.ROLLBACK
    )

    await services.worker.leases.end(execution.claim, outcome, saver=execution.saver)

    assert await query("SELECT count(*) FROM runs") == [(0,)]
    assert await query("SELECT count(*) FROM checkpoints") == [(0,)]


async def test_a_claim_knows_whether_its_thread_has_a_checkpoint(
    services, open_execution, finish, submission
):
    first = await services.queue.submit(submission())
    blank = (await open_execution(first)).claim
    await finish(first)
    second = await services.queue.submit(submission(thread_id=first.thread_id))

    assert blank.is_blank
    assert not (await open_execution(second)).claim.is_blank
