import asyncio
import itertools
from collections import Counter
from datetime import timedelta

import psycopg
from langgraph.types import interrupt

from agent_service.engine import jobs, leases, queue, run
from shared_schemas.problems import ErrorCode

KILL_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def test_a_worker_works_on_what_is_queued(services, worker, submission, end_of):
    ended = await end_of(await services.queue.submit(submission()))

    assert ended.status is run.RunStatus.SUCCESS


async def test_of_two_workers_one_gets_each_run(services, open_two, start_worker, submission, end_of, stage):
    for one in await open_two():
        await start_worker(one)

    rows = [await services.queue.submit(submission()) for _ in range(20)]
    ended = [await end_of(row) for row in rows]

    assert {row.status for row in ended} == {run.RunStatus.SUCCESS}
    assert {row.attempt for row in ended} == {1}
    assert len(stage.visits) == 40


async def test_the_runs_of_a_thread_run_in_order(services, worker, submission, end_of):
    first = await services.queue.submit(submission(text="0"))
    others = [
        await services.queue.submit(submission(thread_id=first.thread_id, text=str(number)))
        for number in range(1, 5)
    ]

    ended = [await end_of(row) for row in [first, *others]]

    for earlier, later in itertools.pairwise(ended):
        assert earlier.ended_at <= later.started_at


async def test_a_running_run_is_cancelled(services, worker, submission, end_of, stage):
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()

    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)
    ended = await end_of(row)

    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    assert ended.status is run.RunStatus.INTERRUPTED
    assert thread.status is run.ThreadStatus.INTERRUPTED
    assert stage.visits == ["first", "gate"]


async def test_another_process_cancels_too(services, open_services, worker, submission, end_of, stage):
    elsewhere = await open_services()
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()

    await elsewhere.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)

    ended = await end_of(row)
    assert ended.status is run.RunStatus.INTERRUPTED


async def test_a_cancel_in_the_moment_of_the_claim_is_heard(services, worker, submission, stage):
    told = asyncio.Event()
    services.worker.listener.subscribe(queue.CANCEL_CHANNEL, lambda _: told.set())
    row = await services.queue.submit(submission(after=timedelta(hours=1)))
    claim = await services.worker.leases.claim(row.run_id)

    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)
    await told.wait()
    await services.worker._see_through(claim)

    ended = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    assert (ended.status, thread.status) == (run.RunStatus.INTERRUPTED, run.ThreadStatus.IDLE)
    assert stage.visits == []


async def test_a_cancel_that_nobody_was_told_of_is_seen(
    services, worker, submission, end_of, query, stage, database_url
):
    payload = run.Payload(input={"text": "hello"}, stream_modes=("custom",))
    row = await services.queue.submit(submission("gated", payload=payload))
    async for event in services.events.read(row.run_id):
        if event.data == '"gate"':
            break

    await query("UPDATE runs SET cancel_action = 'interrupt' RETURNING 1")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(KILL_CONNECTIONS)
    ended = await end_of(row)

    assert ended.status is run.RunStatus.INTERRUPTED
    assert stage.visits == ["first", "gate"]


async def test_interrupt_makes_way_for_the_new_run(services, worker, submission, end_of, stage):
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()
    second = submission(thread_id=row.thread_id, multitask_strategy=run.MultitaskStrategy.INTERRUPT)

    ended = await end_of(await services.queue.submit(second))

    assert ended.status is run.RunStatus.SUCCESS
    assert (await end_of(row)).status is run.RunStatus.INTERRUPTED


async def test_a_worker_that_is_told_to_stop_hands_its_runs_on(
    open_services, start_worker, submission, end_of, stage
):
    services = await open_services(drain_timeout=timedelta(minutes=1))
    stop = await start_worker(services)
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()
    stopping = asyncio.create_task(stop())
    await services.worker.stopping.wait()
    stage.go_on.set()
    await stopping

    await start_worker(await open_services())
    ended = await end_of(row)

    assert ended.status is run.RunStatus.SUCCESS
    assert ended.attempt == 1
    assert stage.visits == ["first", "gate", "last"]


async def test_a_job_that_was_taken_anew_is_not_removed_with_the_run_that_was_lost(
    services, worker, submission, end_of, stage, query
):
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()
    # Another worker had the run while this one slept, and fell asleep in its turn; the job is in this one's name again.
    await query(
        "UPDATE runs SET epoch = nextval('run_epochs'), worker = 'asleep', attempt = attempt + 1 RETURNING 1"
    )
    stage.go_on.set()

    async with asyncio.timeout(leases.ORPHANED_AFTER.total_seconds() / 2):
        ended = await end_of(row)

    assert (ended.status, ended.attempt) == (run.RunStatus.SUCCESS, 3)


async def test_a_run_over_which_too_many_workers_died_is_a_dead_end(
    open_services, start_worker, submission, end_of, query, services
):
    row = await services.queue.submit(submission())
    await query("UPDATE runs SET attempt = %s RETURNING 1", services.settings.max_attempts)

    await start_worker(services)
    ended = await end_of(row)

    assert ended.error.code == "attempts_exhausted"


async def test_a_cancel_that_its_worker_did_not_live_to_see_is_kept(
    services, start_worker, submission, end_of, query, stage
):
    row = await services.queue.submit(submission())
    await services.worker.leases.claim(row.run_id)
    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)

    await start_worker(services)
    ended = await end_of(row)

    assert ended.status is run.RunStatus.INTERRUPTED
    assert stage.visits == []


def nested(depth):
    value = "the end"
    for _ in range(depth):
        value = [value]
    return value


async def test_a_run_whose_outcome_cannot_be_written_ends(
    open_services, start_worker, submission, graphs, stage
):
    async def ask(state):
        # A checkpoint takes it. An answer in JSON, where it stands two levels deeper, does not.
        interrupt(nested(252))

    graphs["deep"] = stage.chain(("ask", ask))
    services = await open_services()
    await start_worker(services)
    payload = run.Payload(input={}, stream_modes=("custom",))
    row = await services.queue.submit(submission("deep", payload=payload))

    events = [event async for event in services.events.read(row.run_id)]

    ended = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    assert ended.status is run.RunStatus.ERROR
    assert ended.error.code is ErrorCode.UNSTORABLE_VALUE
    assert [event.event for event in events][-2:] == ["error", "end"]


async def test_runs_survive_the_loss_of_every_connection(
    services, worker, submission, end_of, stage, database_url
):
    row = await services.queue.submit(submission("gated"))
    await stage.reached.wait()

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(KILL_CONNECTIONS)
    stage.go_on.set()
    ended = await end_of(row)
    after = await end_of(await services.queue.submit(submission()))

    assert ended.status is run.RunStatus.SUCCESS
    assert after.status is run.RunStatus.SUCCESS


EPOCHS = "SELECT last_value + is_called::int FROM run_epochs"
"""The next one: before its first call a sequence's last value is the first one."""


async def test_a_run_that_is_handed_on_after_every_step_is_the_same_run(
    open_two, start_worker, submission, services, end_of, query, stage
):
    for one in await open_two(environment="test", hand_on_steps=True):
        await start_worker(one)

    before = await query(EPOCHS)

    payload = run.Payload(input={"text": "hello"}, durability="sync")
    rows = [await services.queue.submit(submission(payload=payload)) for _ in range(3)]
    ended = [await end_of(row) for row in rows]

    threads = [await services.repository.thread(row.thread_id, owner=row.owner) for row in rows]
    claims = (await query(EPOCHS))[0][0] - before[0][0]
    assert {(one.status, one.attempt) for one in ended} == {(run.RunStatus.SUCCESS, 1)}
    assert [thread.values["trail"] for thread in threads] == [["first", "second"]] * 3
    assert Counter(stage.visits) == {"first": 3, "second": 3}
    # The last step of a run may end it instead. Without `sync` a step may begin before it is asked to stop.
    assert claims > len(rows)


async def test_a_job_of_a_run_that_is_not_its_threads_first_holds_up_no_other(
    services, start_worker, submission, end_of, query
):
    head = await services.queue.submit(submission())
    await services.worker.leases.claim(head.run_id)
    await query("DELETE FROM pgqueuer RETURNING id")
    second = await services.queue.submit(submission(thread_id=head.thread_id))
    async with services.pool.connection() as connection:
        await jobs.enqueue(connection, second)
    other = await services.queue.submit(submission())

    await start_worker(services)

    assert (await end_of(other)).status is run.RunStatus.SUCCESS


async def test_the_job_goes_in_the_moment_in_which_its_run_ends(
    services, start_worker, submission, end_of, query
):
    row = await services.queue.submit(submission())
    await start_worker(services)

    await end_of(row)

    assert await query("SELECT count(*) FROM pgqueuer") == [(0,)]
    # Nobody reads pgqueuer's log of jobs: the run's row tells more.
    assert await query("SELECT count(*) FROM pgqueuer_log") == [(0,)]


async def test_a_run_that_another_holds_just_now_is_claimed_when_it_is_free(
    services, start_worker, submission, end_of
):
    held = await services.queue.submit(submission())
    other = await services.queue.submit(submission())
    async with services.pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM runs WHERE run_id = %s FOR UPDATE", (held.run_id,))
        await start_worker(services)
        ended_meanwhile = await end_of(other)

    assert ended_meanwhile.status is run.RunStatus.SUCCESS
    assert (await end_of(held)).status is run.RunStatus.SUCCESS
