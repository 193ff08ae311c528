import pytest

from agent_service.engine import run
from agent_service.engine.housekeeping import LOCK
from agent_service.events import telling
from agent_service.settings import Pruning

OLD = "now() - interval '40 days'"


@pytest.fixture
def ended(services, worker, submission, end_of):
    """Return a function that runs a graph to its end."""

    async def finish(**changes):
        return await end_of(await services.queue.submit(submission(**changes)))

    return finish


@pytest.fixture
def housekeeping(services):
    return services.worker.housekeeping


async def test_what_is_young_stays(housekeeping, ended):
    await ended()

    done = await housekeeping.sweep()

    assert not any(done.values())


async def test_the_events_of_runs_that_ended_long_ago_go_and_their_end_stays(
    housekeeping, services, ended, query
):
    old, young = await ended(), await ended()
    await query(f"UPDATE runs SET ended_at = {OLD} WHERE run_id = %s RETURNING 1", old.run_id)

    done = await housekeeping.sweep()
    again = await housekeeping.sweep()

    left = [event.event async for event in services.events.read(old.run_id)]
    others = [event.event async for event in services.events.read(young.run_id)]
    assert (done["events"], again["events"]) == (1, 0)
    assert left == [telling.END]
    assert len(others) > 1


async def test_results_that_nobody_waits_for_any_more_go(housekeeping, ended, query):
    await ended()
    await query(f"UPDATE run_results SET created_at = {OLD} RETURNING 1")

    done = await housekeeping.sweep()

    assert done["results"] == 1


async def test_the_events_of_a_run_that_went_with_its_thread_go_with_its_result(
    housekeeping, services, worker, submission, query
):
    payload = run.Payload(input={}, on_completion=run.OnCompletion.DELETE)
    gone = await services.queue.submit(submission(payload=payload))
    await services.events.ended(gone.run_id)
    await query(f"UPDATE run_results SET created_at = {OLD} RETURNING 1")

    await housekeeping.sweep()

    assert await query("SELECT run_id FROM run_events") == []


async def test_the_log_of_jobs_is_trimmed(housekeeping, query):
    for created in (OLD, "now()"):
        await query(
            "INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)"
            f" VALUES ({created}, 1, 'exception', 0, 'run') RETURNING 1"
        )

    done = await housekeeping.sweep()

    assert done["jobs"] == 1


async def test_an_expired_thread_goes_with_all_it_has(housekeeping, ended, query):
    row = await ended()
    await query(
        "UPDATE threads SET expires_at = now(), ttl = interval '1 hour', ttl_strategy = 'delete' RETURNING 1"
    )

    done = await housekeeping.sweep()

    assert done["expired_threads"] == 1
    for table in ("threads", "runs", "run_events", "run_results", "checkpoints", "checkpoint_writes"):
        assert await query(f"SELECT count(*) FROM {table}") == [(0,)], (table, row.run_id)


async def test_a_busy_thread_does_not_expire(housekeeping, services, submission, query):
    await services.queue.submit(submission("gated"))
    await query(
        "UPDATE threads SET expires_at = now(), ttl = interval '1 hour', ttl_strategy = 'delete' RETURNING 1"
    )

    done = await housekeeping.sweep()

    assert done["expired_threads"] == 0


async def test_an_expired_thread_may_lose_its_history_only(housekeeping, ended, query):
    await ended()
    await query(
        "UPDATE threads"
        " SET expires_at = now(), ttl = interval '1 hour', ttl_strategy = 'keep_latest' RETURNING 1"
    )

    done = await housekeeping.sweep()

    assert done["expired_threads"] == 1
    assert await query("SELECT count(*) FROM checkpoints") == [(1,)]
    assert await query("SELECT expires_at > now() FROM threads") == [(True,)]


async def test_a_thread_that_rests_for_long_keeps_its_latest_checkpoint(housekeeping, ended, query):
    await ended()
    before = await query("SELECT count(*) FROM checkpoints")
    await query(f"UPDATE threads SET state_updated_at = {OLD} RETURNING 1")

    done = await housekeeping.sweep()
    again = await housekeeping.sweep()

    assert before == [(4,)]
    assert (done["old_threads"], again["old_threads"]) == (1, 0)
    assert await query("SELECT count(*) FROM checkpoints") == [(1,)]


@pytest.mark.parametrize(
    ("pruning", "left"), [pytest.param(Pruning.ALWAYS, 1), pytest.param(Pruning.MANDATE, 4)]
)
async def test_a_run_without_a_mandate_keeps_its_history_unless_told_otherwise(
    open_services, start_worker, submission, end_of, query, pruning, left
):
    services = await open_services(prune_checkpoints=pruning)
    stop = await start_worker(services)

    await end_of(await services.queue.submit(submission()))
    await stop()

    assert await query("SELECT count(*) FROM checkpoints") == [(left,)]


async def test_one_process_at_a_time_keeps_house(housekeeping, services, ended, query):
    await ended()
    await query(f"UPDATE runs SET ended_at = {OLD} RETURNING 1")

    async with services.pool.connection() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        meanwhile = await housekeeping.sweep()
    after = await housekeeping.sweep()

    assert (meanwhile["events"], after["events"]) == (0, 1)


async def test_a_thread_shows_its_state_and_goes_on_when_all_that_was_old_is_gone(
    housekeeping, services, ended, query
):
    row = await ended()
    await query(f"UPDATE runs SET ended_at = {OLD} RETURNING 1")
    await query(f"UPDATE threads SET state_updated_at = {OLD} RETURNING 1")

    await housekeeping.sweep()

    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    again = await ended(thread_id=row.thread_id)
    assert thread.values["trail"] == ["first", "second"]
    assert again.status is run.RunStatus.SUCCESS
