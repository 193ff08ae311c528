"""What a reader of a thread's events asks the database for."""

import asyncio
import contextlib
import uuid

import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agent_service import database
from agent_service.events import log, protocol, protocol_filter, threads

TOKENS = 1200
"""More than two pages."""

INSERT_THREAD = "INSERT INTO threads (thread_id, owner, status) VALUES (%(thread_id)s, 'ann', 'busy')"
INSERT_RUN = (
    "WITH run AS (INSERT INTO runs (run_id, thread_id, assistant_id, graph_id, owner, status, epoch, payload,"
    " multitask_strategy) VALUES"
    " (%(run_id)s, %(thread_id)s, gen_random_uuid(), 'plain', 'ann', 'running', 1, '{}', 'enqueue'))"
    " INSERT INTO run_events (run_id, seq, event, data)"
    " SELECT %(run_id)s, seq, CASE seq WHEN 1 THEN 'metadata' WHEN %(asks)s THEN 'values' ELSE 'messages|a:1' END,"
    """ CASE seq WHEN %(asks)s THEN '{"__interrupt__":[{"id":"1","value":"?"}]}' ELSE '{}' END"""
    " FROM generate_series(1, %(asks)s + 1) AS seq"
)


class CountedRows:
    """Every row that comes from the database."""

    def __init__(self):
        self.count = 0

    def factory(self, cursor):
        make = dict_row(cursor)

        def count(values):
            self.count += 1
            return make(values)

        return count


@pytest.fixture
def rows():
    return CountedRows()


@pytest.fixture
async def events(database_url, rows):
    kwargs = {"autocommit": True, "row_factory": rows.factory}
    pool = AsyncConnectionPool(
        database_url, connection_class=database.Connection, kwargs=kwargs, min_size=1, open=False
    )
    async with (
        pool,
        database.open_listener(database_url, channels=log.CHANNELS) as listener,
        log.open_log(pool, listener) as opened,
    ):
        yield opened


@pytest.fixture
async def thread_id(events):
    """A thread whose run streamed very many tokens and asked something before the last."""
    named = {"thread_id": uuid.uuid4(), "run_id": uuid.uuid4(), "asks": TOKENS}
    async with events.pool.connection() as connection:
        await connection.execute(INSERT_THREAD, named)
        await connection.execute(INSERT_RUN, named)
    return named["thread_id"]


async def read(events, thread_id, count, *channels):
    wanted = protocol.rows_for(protocol_filter.Filter(channels=frozenset(channels)))
    reading = threads.read(events, thread_id, wanted=wanted)
    async with contextlib.aclosing(reading), asyncio.timeout(30):
        return [(await anext(reading)).item for _ in range(count)]


async def test_who_follows_a_runs_life_alone_reads_no_tokens(events, thread_id, rows):
    seen = await read(events, thread_id, 2, "lifecycle", "input")

    assert [(item.seq, item.event) for item in seen] == [(1, "metadata"), (TOKENS, "values")]
    assert rows.count < 10


async def test_who_follows_the_messages_reads_each(events, thread_id, rows):
    seen = await read(events, thread_id, TOKENS + 1, "messages")

    assert [item.seq for item in seen] == list(range(1, TOKENS + 2))
    assert rows.count > TOKENS


async def test_what_comes_behind_rows_that_nobody_wanted_is_seen(events, thread_id):
    reading = asyncio.create_task(read(events, thread_id, 3, "lifecycle"))

    async with events.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO run_events (run_id, seq, event, data) SELECT run_id, %s, 'tasks', '{}' FROM runs",
            (TOKENS + 2,),
        )
    events.wake(str(thread_id))

    assert (await reading)[-1].event == "tasks"
