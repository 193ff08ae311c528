import uuid

import pytest

from agent_service import exceptions
from agent_service.engine import repository as kept
from agent_service.engine import run
from shared_schemas.problems import ErrorCode


def new(thread_id=None, *, owner="ann", metadata=None):
    return run.NewThread(thread_id=thread_id or uuid.uuid4(), owner=owner, metadata=metadata or {})


@pytest.fixture
def repository(services):
    return services.repository


@pytest.fixture
async def thread(repository):
    return await repository.create_thread(new(metadata={"topic": "lists"}))


async def test_a_new_thread_is_idle(thread):
    assert (thread.status, thread.values, thread.interrupts) == (run.ThreadStatus.IDLE, None, {})


async def test_a_thread_is_not_made_twice(repository, thread):
    with pytest.raises(exceptions.RequestError) as refused:
        await repository.create_thread(new(thread.thread_id))

    assert refused.value.code is ErrorCode.CONFLICT


async def test_a_thread_that_may_exist_is_returned(repository, thread):
    again = await repository.create_thread(new(thread.thread_id), may_exist=True)

    assert again == thread


async def test_a_thread_of_somebody_else_is_never_returned(repository, thread):
    with pytest.raises(exceptions.RequestError) as refused:
        await repository.create_thread(new(thread.thread_id, owner="bob"), may_exist=True)

    assert refused.value.code is ErrorCode.CONFLICT


@pytest.mark.parametrize(("digest", "code"), [("one", None), ("two", ErrorCode.IDEMPOTENCY_KEY_REUSED)])
async def test_a_key_makes_one_thread_of_one_body(repository, digest, code):
    first = await repository.create_thread(
        new(),
        idempotency=run.IdempotencyKey(key="key-of-mine", digest="one"),
    )
    second = repository.create_thread(
        new(),
        idempotency=run.IdempotencyKey(key="key-of-mine", digest=digest),
    )

    if code is None:
        assert await second == first
    else:
        with pytest.raises(exceptions.RequestError) as refused:
            await second
        assert refused.value.code is code


async def test_metadata_is_merged(repository, thread):
    changed = await repository.update_thread(thread.thread_id, owner="ann", metadata={"level": 2})

    assert changed.metadata == {"topic": "lists", "level": 2}


@pytest.mark.parametrize(
    ("owner", "metadata", "found"),
    [
        pytest.param("ann", {"topic": "lists"}, 1, id="mine"),
        pytest.param("ann", {"topic": "loops"}, 0, id="other metadata"),
        pytest.param("bob", {}, 0, id="somebody else's"),
    ],
)
async def test_threads_are_found_by_owner_and_metadata(repository, thread, owner, metadata, found):
    threads = await repository.threads(kept.ThreadFilter(owner=owner, metadata=metadata))

    assert len(threads) == found


async def test_a_deleted_thread_leaves_nothing(services, worker, submission, end_of, query):
    ended = await end_of(await services.queue.submit(submission()))

    await services.repository.delete_thread(ended.thread_id, owner=ended.owner)

    for table in ("threads", "runs", "run_events", "checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        assert await query(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_busy_thread_is_not_deleted(services, submission):
    row = await services.queue.submit(submission())

    with pytest.raises(exceptions.RequestError) as refused:
        await services.repository.delete_thread(row.thread_id, owner=row.owner)

    assert refused.value.code is ErrorCode.THREAD_BUSY


async def test_a_run_is_found_on_its_own_thread_only(services, submission):
    row = await services.queue.submit(submission())

    with pytest.raises(exceptions.RequestError) as refused:
        await services.repository.run(row.run_id, thread_id=uuid.uuid4(), owner=row.owner)

    assert refused.value.code is ErrorCode.NOT_FOUND
