"""What who watches a thread is told of first: nothing of a failure, if a new run begins."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from agent_service.api import protocol_streams
from agent_service.events import threads

ANSWERED = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle' AND query LIKE '%runs.end_told, threads.status%'
"""


@pytest.fixture
async def failed(services, worker, submission, end_of, query):
    """The place before a run that failed, of which somebody was told."""
    ended = await end_of(await services.queue.submit(submission("failing")))
    [(ordinal,)] = await query("UPDATE runs SET end_told = true RETURNING ordinal")
    return ended.thread_id, threads.Place(ordinal, 0)


async def test_a_run_that_is_made_while_the_last_one_is_read_is_waited_for(
    services, failed, submission, query, database_url
):
    thread_id, place = failed
    await services.queue.submit(submission(thread_id=thread_id, after=timedelta(hours=1)))
    # The pool's connection knows the statement from here on, and answers it at once.
    await protocol_streams._one(services, "current", thread_id=thread_id)
    seeking = asyncio.create_task(protocol_streams._what_goes_on(services, thread_id))
    await asyncio.sleep(0)

    with psycopg.connect(database_url, autocommit=True) as other:
        while not other.execute(ANSWERED).fetchall():
            pass
        other.execute("UPDATE runs SET scheduled = false WHERE scheduled")
    services.events.wake(str(thread_id))

    assert await seeking == threads.Place(place.ordinal + 1, 0)


async def test_a_thread_in_which_nothing_new_begins_tells_of_its_failure(services, failed):
    thread_id, place = failed
    seeking = asyncio.create_task(protocol_streams._what_goes_on(services, thread_id))
    await asyncio.sleep(0)
    services.events.wake(str(thread_id))

    assert await seeking == place


async def test_who_leaves_in_the_moment_a_new_run_is_heard_of_has_left(services, failed):
    thread_id, _ = failed
    seeking = asyncio.create_task(protocol_streams._what_goes_on(services, thread_id))
    while not any(arrived._waiters for arrived in services.events._readers.get(str(thread_id), ())):  # noqa: ASYNC110
        await asyncio.sleep(0)
    services.events.wake(str(thread_id))

    seeking.cancel()
    await asyncio.wait({seeking})

    assert seeking.cancelled()
