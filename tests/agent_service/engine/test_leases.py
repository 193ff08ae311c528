import asyncio
import uuid
from dataclasses import replace

import psycopg
import pytest

from agent_service import exceptions
from agent_service.engine import failures, leases, run
from agent_service.events import log
from shared_schemas.usage import ModelUsage
from tests.agent_service import locks
from tests.agent_service.engine import giving_back

SUCCESS = run.Outcome(status=run.RunStatus.SUCCESS, thread_status=run.ThreadStatus.IDLE)


@pytest.fixture
def lease(services):
    return services.worker.leases


async def test_each_claim_has_a_later_epoch(services, submission, lease):
    row = await services.queue.submit(submission())

    first = await lease.claim(row.run_id)
    second = await lease.claim(row.run_id)

    assert second.epoch > first.epoch
    assert (first.resumed, second.resumed) == (False, True)
    assert second.run.attempt == 2


async def test_epochs_begin_at_the_time_of_the_migration(services, submission, lease):
    row = await services.queue.submit(submission())

    claim = await lease.claim(row.run_id)

    assert claim.epoch > 1_790_000_000


async def test_a_run_that_is_cancelled_between_two_workers_tells_its_prompts(services, submission, lease):
    row = await services.queue.submit(submission())
    prompted = replace(lease, prompts={"plain": "0a1b2c"})
    await prompted.release(await prompted.claim(row.run_id))

    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)

    now = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    assert (now.status, now.prompt_version) == (run.RunStatus.INTERRUPTED, "0a1b2c")


async def test_a_run_that_has_ended_is_not_claimed(services, submission, lease):
    row = await services.queue.submit(submission())
    await lease.end(await lease.claim(row.run_id), SUCCESS)

    claim = await lease.claim(row.run_id)

    assert claim is None


async def test_a_stale_worker_ends_nothing(services, submission, lease):
    row = await services.queue.submit(submission())
    stale = await lease.claim(row.run_id)
    await lease.claim(row.run_id)

    with pytest.raises(exceptions.LeaseLost):
        await lease.end(stale, SUCCESS)

    now = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    assert now.status is run.RunStatus.RUNNING


async def test_a_stale_worker_gives_nothing_away(services, submission, lease):
    row = await services.queue.submit(submission())
    stale = await lease.claim(row.run_id)
    await lease.claim(row.run_id)

    with pytest.raises(exceptions.LeaseLost):
        await lease.release(stale)


async def test_a_stale_worker_writes_no_event_and_is_told(services, submission, lease):
    row = await services.queue.submit(submission())
    stale = await lease.claim(row.run_id)
    current = await lease.claim(row.run_id)
    told = asyncio.Event()
    pen = log.Pen(run_id=row.run_id, epoch=stale.epoch, seq=0, on_lost=told.set)

    await services.events.append(pen, "custom", '"stale"')
    await told.wait()
    await lease.end(current, SUCCESS)

    events = [event.event async for event in services.events.read(row.run_id)]
    assert events == ["metadata", "metadata", "end"]


async def test_a_released_run_waits_again_and_its_attempt_does_not_count(services, submission, lease, query):
    row = await services.queue.submit(submission())
    await query("DELETE FROM pgqueuer RETURNING id")
    used = [ModelUsage(model="m", calls=1, input_tokens=2, output_tokens=3)]

    await lease.release(await lease.claim(row.run_id), used=used, events=[("custom", '"so far"')])

    released = await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)
    assert (released.status, released.attempt, released.usage) == (run.RunStatus.PENDING, 0, used)
    assert await query("SELECT payload FROM pgqueuer") == [(row.run_id.bytes,)]
    assert await query("SELECT event FROM run_events ORDER BY seq") == [("metadata",), ("custom",)]


@pytest.mark.parametrize("give_back", giving_back.WAYS)
async def test_a_run_that_is_given_back_has_no_job_but_the_new_one(
    services, submission, lease, query, give_back
):
    row = await services.queue.submit(submission())
    manager = uuid.uuid4()
    picked = "UPDATE pgqueuer SET status = 'picked', queue_manager_id = %s RETURNING id"
    [(job_id,)] = await query(picked, manager)
    claim = await lease.claim(row.run_id, job=run.JobKey(job_id, manager))

    await give_back(lease, claim)

    assert await query("SELECT id > %s, status::text FROM pgqueuer", job_id) == [(True, "queued")]


async def test_the_end_of_a_run_queues_the_next_one_of_its_thread(services, submission, lease, query):
    head = await services.queue.submit(submission())
    second = await services.queue.submit(submission(thread_id=head.thread_id))

    await lease.end(await lease.claim(head.run_id), SUCCESS)

    thread = await services.repository.thread(head.thread_id, owner=head.owner)
    assert thread.status is run.ThreadStatus.BUSY
    assert (second.run_id.bytes,) in await query("SELECT payload FROM pgqueuer")


async def test_two_runs_of_one_thread_never_run_at_once(services, submission, lease):
    head = await services.queue.submit(submission())
    second = await services.queue.submit(submission(thread_id=head.thread_id))
    await lease.claim(head.run_id)

    with pytest.raises(Exception, match="runs_one_running_per_thread"):
        await lease.claim(second.run_id)


async def test_a_webhook_is_written_with_the_end_and_not_before(services, submission, lease, query):
    row = await services.queue.submit(submission(webhook_url="http://django.test/hook"))
    claim = await lease.claim(row.run_id)
    before = await query("SELECT count(*) FROM webhooks")

    await lease.end(claim, SUCCESS)

    assert before == [(0,)]
    assert await query("SELECT run_id, url FROM webhooks") == [(row.run_id, "http://django.test/hook")]


async def test_a_run_without_a_webhook_writes_none(services, submission, lease, query):
    row = await services.queue.submit(submission())

    await lease.end(await lease.claim(row.run_id), SUCCESS)

    assert await query("SELECT count(*) FROM webhooks") == [(0,)]


async def test_a_run_whose_job_is_gone_is_queued_again(services, submission, lease, query):
    row = await services.queue.submit(submission())
    await query("DELETE FROM pgqueuer RETURNING id")
    await query("UPDATE runs SET updated_at = now() - %s RETURNING 1", leases.ORPHANED_AFTER * 2)

    adopted = await lease.adopt_orphans()

    assert adopted == [row.run_id]
    assert await query("SELECT payload FROM pgqueuer") == [(row.run_id.bytes,)]


async def test_one_process_at_a_time_adopts(services, submission, lease, query):
    row = await services.queue.submit(submission())
    await query("DELETE FROM pgqueuer RETURNING id")
    await query("UPDATE runs SET updated_at = now() - %s RETURNING 1", leases.ORPHANED_AFTER * 2)
    async with services.pool.connection() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(%s)", [leases.ADOPTION])
        meanwhile = await lease.adopt_orphans()

    afterwards = await lease.adopt_orphans()

    assert (meanwhile, afterwards) == ([], [row.run_id])


async def test_a_run_that_waits_behind_another_is_no_orphan(services, submission, lease, query):
    head = await services.queue.submit(submission())
    await services.queue.submit(submission(thread_id=head.thread_id))
    await query("UPDATE runs SET updated_at = now() - %s RETURNING 1", leases.ORPHANED_AFTER * 2)

    assert await lease.adopt_orphans() == []


@pytest.mark.slow
@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_worker_that_stands_still_in_a_transaction_does_not_keep_its_run(
    services, settings, submission, lease, pipelined
):
    row = await services.queue.submit(submission())
    claim = await lease.claim(row.run_id)
    url = settings.database_url.get_secret_value()
    still = await psycopg.AsyncConnection.connect(url)
    if pipelined:
        await still.pipeline().__aenter__()
    cursor = await still.execute("SELECT hold_run(%s, %s)", [row.run_id, claim.epoch])
    await cursor.fetchone()

    taken = await lease.claim(row.run_id)

    assert taken.epoch > claim.epoch
    with pytest.raises(failures.PASSING):
        await still.execute("SELECT 1")
    await still.close()


async def test_a_claim_counts_what_the_worker_before_wrote_until_then(
    services, settings, submission, lease, query
):
    row = await services.queue.submit(submission())
    stale = await lease.claim(row.run_id)
    url = settings.database_url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url) as slow:
        await slow.execute("SELECT FROM runs WHERE run_id = %s FOR SHARE", (row.run_id,))
        await slow.execute(
            "INSERT INTO run_events (run_id, seq, event, data) VALUES (%s, %s, 'custom', '1')",
            (row.run_id, stale.last_seq + 1),
        )
        claiming = asyncio.create_task(lease.claim(row.run_id))
        await locks.held_up(slow)
        await slow.commit()
        claim = await claiming

    events = await query("SELECT seq, event FROM run_events ORDER BY seq")
    assert events == [(1, "metadata"), (2, "custom"), (3, "metadata")]
    assert claim.last_seq == 3
