import asyncio
import uuid

import pytest

from agent_service import exceptions
from agent_service.engine import run
from shared_schemas.problems import ErrorCode


def key(digest="body"):
    return run.IdempotencyKey(key="key-of-mine", digest=digest)


async def test_a_kept_run_has_its_job_in_the_same_transaction(services, submission, query):
    kept = await services.queue.submit(submission())

    assert kept.status is run.RunStatus.PENDING
    assert await query("SELECT payload FROM pgqueuer") == [(kept.run_id.bytes,)]


async def test_the_same_request_at_once_from_many_connections_makes_one_run(services, submission, query):
    request = submission(idempotency=key())
    requests = [services.queue.submit(request) for _ in range(5)]

    runs = await asyncio.gather(*requests)

    assert {kept.run_id for kept in runs} == {runs[0].run_id}
    assert await query("SELECT count(*) FROM runs") == [(1,)]
    assert await query("SELECT count(*) FROM pgqueuer") == [(1,)]


async def test_two_stateless_requests_with_one_key_make_one_run_and_one_thread(services, submission, query):
    requests = [services.queue.submit(submission(idempotency=key())) for _ in range(2)]

    first, second = await asyncio.gather(*requests)

    assert first.run_id == second.run_id
    assert await query("SELECT count(*) FROM threads") == [(1,)]


async def test_a_key_never_means_two_bodies(services, submission):
    await services.queue.submit(submission(idempotency=key()))

    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.submit(submission(idempotency=key("another body")))

    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_two_owners_may_use_the_same_key(services, submission):
    mine = await services.queue.submit(submission(idempotency=key()))

    theirs = await services.queue.submit(submission(idempotency=key(), owner="bob"))

    assert mine.run_id != theirs.run_id


async def test_only_the_head_of_a_thread_is_queued(services, submission, query):
    head = await services.queue.submit(submission())

    await services.queue.submit(submission(thread_id=head.thread_id))

    assert await query("SELECT payload FROM pgqueuer") == [(head.run_id.bytes,)]


async def test_a_thread_is_not_made_unless_the_request_says_so(services, submission):
    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.submit(submission(create_thread=False))

    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_a_thread_of_somebody_else_does_not_exist(services, submission):
    theirs = await services.queue.submit(submission(owner="bob"))

    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.submit(submission(thread_id=theirs.thread_id))

    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_reject_refuses_a_busy_thread(services, submission):
    head = await services.queue.submit(submission())
    second = submission(thread_id=head.thread_id, multitask_strategy=run.MultitaskStrategy.REJECT)

    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.submit(second)

    assert refused.value.code is ErrorCode.THREAD_BUSY


async def test_interrupt_ends_the_runs_that_nobody_has_begun(services, submission):
    waiting = await services.queue.submit(submission())
    second = submission(thread_id=waiting.thread_id, multitask_strategy=run.MultitaskStrategy.INTERRUPT)

    await services.queue.submit(second)

    ended = await services.repository.run(waiting.run_id, thread_id=waiting.thread_id, owner=waiting.owner)
    assert ended.status is run.RunStatus.INTERRUPTED


async def test_a_run_that_no_worker_has_is_cancelled_at_once(services, submission):
    pending = await services.queue.submit(submission())

    cancelled = await services.queue.cancel(pending.run_id, thread_id=pending.thread_id, owner=pending.owner)

    events = [event.event async for event in services.events.read(pending.run_id)]
    thread = await services.repository.thread(pending.thread_id, owner=pending.owner)
    assert cancelled.status is run.RunStatus.INTERRUPTED
    assert events == ["end"]
    assert thread.status is run.ThreadStatus.IDLE


async def test_cancelling_the_head_brings_the_next_run_to_the_front(services, submission, query):
    head = await services.queue.submit(submission())
    second = await services.queue.submit(submission(thread_id=head.thread_id))

    await services.queue.cancel(head.run_id, thread_id=head.thread_id, owner=head.owner)

    assert (second.run_id.bytes,) in await query("SELECT payload FROM pgqueuer")


async def test_cancelling_behind_the_head_queues_nothing_twice(services, submission, query):
    head = await services.queue.submit(submission())
    second = await services.queue.submit(submission(thread_id=head.thread_id))

    await services.queue.cancel(second.run_id, thread_id=head.thread_id, owner=head.owner)

    assert await query("SELECT payload FROM pgqueuer") == [(head.run_id.bytes,)]


async def test_a_run_that_has_ended_is_not_cancelled(services, submission):
    row = await services.queue.submit(submission())
    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)

    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)

    assert refused.value.code is ErrorCode.CONFLICT


async def test_an_answer_to_an_interrupt_that_is_not_pending_is_refused(services, submission):
    head = await services.queue.submit(submission())
    await services.queue.cancel(head.run_id, thread_id=head.thread_id, owner=head.owner)
    answer = run.Payload(command={"resume": {uuid.uuid4().hex: "yes"}})

    with pytest.raises(exceptions.RequestError) as refused:
        await services.queue.submit(submission(thread_id=head.thread_id, payload=answer))

    assert refused.value.code is ErrorCode.NO_SUCH_INTERRUPT
