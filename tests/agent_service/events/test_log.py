import asyncio
import uuid
from datetime import timedelta

import psycopg
import pytest

from agent_service import database
from agent_service.engine import rows
from agent_service.events import log, telling

INSERT_RUN = (
    "WITH thread AS (INSERT INTO threads (thread_id, owner) VALUES (gen_random_uuid(), 'ann') RETURNING thread_id)"
    " INSERT INTO runs (run_id, thread_id, assistant_id, graph_id, owner, status, epoch, payload,"
    " multitask_strategy) SELECT %s, thread_id, gen_random_uuid(), 'plain', 'ann', 'running', 1, '{}', 'enqueue'"
    " FROM thread"
)


END_RUN = "UPDATE runs SET status = 'success' WHERE run_id = %s AND status = 'running'"


@pytest.fixture
async def pool(database_url):
    async with database.open_pool(
        database_url, min_size=1, max_size=4, patience=timedelta(seconds=5)
    ) as opened:
        yield opened


@pytest.fixture
async def events(database_url, pool):
    async with (
        database.open_listener(database_url, channels=[log.CHANNEL, log.THREAD_CHANNEL]) as listener,
        log.open_log(pool, listener) as opened,
    ):
        yield opened


@pytest.fixture
async def elsewhere(database_url, pool):
    """The log of another process."""
    async with (
        database.open_listener(database_url, channels=[log.CHANNEL, log.THREAD_CHANNEL]) as listener,
        log.open_log(pool, listener) as opened,
    ):
        yield opened


@pytest.fixture
async def pen(pool):
    run_id = uuid.uuid4()
    async with pool.connection() as connection:
        await connection.execute(INSERT_RUN, (run_id,))
    return log.Pen(run_id=run_id, epoch=1, seq=0)


@pytest.fixture
def end(pool, events):
    """Return a function that ends a run as its worker does: once, and again when the connection was lost."""

    async def finish(pen):
        last = await events.close(pen)

        async def write():
            async with pool.connection() as connection, connection.transaction():
                ended = await connection.execute(END_RUN, (pen.run_id,))
                if ended.rowcount:
                    values = {"run_id": pen.run_id} | log.ending_values(pen.run_id, last)
                    await connection.execute(log.QUERIES["close"], values)

        await database.patiently(write)

    return finish


async def collect(events, run_id, after=0):
    return [(event.seq, event.event, event.data) async for event in events.read(run_id, after=after)]


async def test_events_come_in_the_order_they_were_written(events, pen, end):
    for number in range(3):
        await events.append(pen, "custom", str(number))
    await end(pen)

    assert await collect(events, pen.run_id) == [
        (1, "custom", "0"),
        (2, "custom", "1"),
        (3, "custom", "2"),
        (4, "end", "{}"),
    ]


@pytest.mark.parametrize("after", range(6))
async def test_reading_from_any_event_gives_exactly_the_rest(events, pen, end, after):
    for number in range(5):
        await events.append(pen, "custom", str(number))
    await end(pen)

    rest = await collect(events, pen.run_id, after)

    assert [seq for seq, _, _ in rest] == list(range(after + 1, 7))


async def test_reading_behind_the_end_gives_nothing(events, pen, end):
    await end(pen)

    assert await collect(events, pen.run_id, after=1) == []


async def test_whoever_reads_a_run_that_is_deleted_comes_to_an_end(events, pen, end, pool):
    for number in range(log.PAGE_SIZE + 1):
        await events.append(pen, "custom", str(number))
    await end(pen)
    reading = events.read(pen.run_id)
    seen = [await anext(reading)]

    async with pool.connection() as connection:
        await connection.execute(rows.QUERIES["delete_run"], {"run_id": pen.run_id, "wakes": str(pen.run_id)})
    async with asyncio.timeout(30):
        seen += [event async for event in reading]

    assert [event.seq for event in seen] == list(range(1, log.PAGE_SIZE + 1))


async def test_a_run_that_is_not_there_has_no_events(events):
    assert await collect(events, uuid.uuid4()) == []


async def test_another_process_follows_live(events, elsewhere, pen, end):
    reading = asyncio.create_task(collect(elsewhere, pen.run_id))

    for number in range(700):
        await events.append(pen, "custom", str(number))
    await end(pen)

    assert [seq for seq, _, _ in await reading] == list(range(1, 702))


@pytest.mark.parametrize("size", [3900, 7700, 7800, 7900, 8000, 30_000])
async def test_events_of_any_size_are_followed_live(events, elsewhere, pen, end, size):
    reading = asyncio.create_task(collect(elsewhere, pen.run_id))
    texts = ["x" * size, '"' * (size // 2), "\u20ac" * (size // 3), "\U0001f600" * (size // 4)]

    for text in texts:
        await events.append(pen, text[:1], text)
    await end(pen)

    assert [data for _, _, data in await reading] == [*texts, "{}"]


async def test_what_was_told_is_what_is_read_later(events, elsewhere, pen, end):
    async def follow():
        return [event async for event in elsewhere.read(pen.run_id)]

    reading = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await events.append(pen, "custom", '{"escaped": "\\u0000"}')
    await events.append(pen, "updates|sub:1", '"line\\nbreak, and comma"')
    await end(pen)

    assert await reading == await follow()


async def test_a_notification_behind_a_gap_is_not_read_without_what_is_missing(events, pen, pool):
    reading = events.read(pen.run_id)
    await events.append(pen, "custom", "1")
    assert (await anext(reading)).seq == 1
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO run_events (run_id, seq, event, data) VALUES (%s, 2, 'custom', '2')", (pen.run_id,)
        )
    pen.seq = 2
    await events.append(pen, "custom", "3")

    assert [(await anext(reading)).data, (await anext(reading)).data] == ["2", "3"]
    await reading.aclose()


async def test_events_of_a_pen_that_lost_its_run_are_told_to_nobody(events, pen, end, pool):
    lost = asyncio.Event()
    stale = log.Pen(run_id=pen.run_id, epoch=0, seq=0, on_lost=lost.set)
    reading = asyncio.create_task(collect(events, pen.run_id))

    await events.append(stale, "custom", '"of old"')
    await lost.wait()
    await events.append(pen, "custom", '"of now"')
    await end(pen)

    assert [data for _, _, data in await reading] == ['"of now"', "{}"]


async def test_an_event_is_seen_before_the_run_ends(events, elsewhere, pen):
    reading = elsewhere.read(pen.run_id)

    await events.append(pen, "custom", '"now"')
    first = await anext(reading)

    assert first.data == '"now"'
    await reading.aclose()


async def test_many_runs_share_a_batch_and_keep_their_own_order(events, pool, end):
    pens = [log.Pen(run_id=uuid.uuid4(), epoch=1, seq=0) for _ in range(250)]
    async with pool.connection() as connection:
        for pen in pens:
            await connection.execute(INSERT_RUN, (pen.run_id,))

    for number in range(2):
        for pen in pens:
            await events.append(pen, "custom", str(number))
    for pen in pens:
        await end(pen)

    for pen in pens:
        assert [data for _, _, data in await collect(events, pen.run_id)] == ["0", "1", "{}"]


async def test_the_terminal_status_is_visible_with_the_end(events, elsewhere, pen, end, pool):
    reading = asyncio.create_task(collect(elsewhere, pen.run_id))
    await end(pen)
    await reading

    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT status FROM runs WHERE run_id = %s", (pen.run_id,))
        assert await cursor.fetchone() == {"status": "success"}


async def test_a_pen_of_an_older_epoch_writes_nothing_and_is_told(events, pen, end):
    told = asyncio.Event()
    stale = log.Pen(run_id=pen.run_id, epoch=0, seq=0, on_lost=told.set)

    await events.append(stale, "custom", '"stale"')
    await told.wait()
    await end(pen)

    assert await collect(events, pen.run_id) == [(1, "end", "{}")]


async def test_a_pen_is_told_when_its_run_shall_end(events, pen, pool):
    told = asyncio.Event()
    pen.on_cancel = told.set
    async with pool.connection() as connection:
        await connection.execute("UPDATE runs SET cancel_action = 'interrupt'")

    await events.append(pen, "custom", "1")

    await told.wait()


async def test_writing_goes_on_after_every_connection_was_lost(events, elsewhere, pen, end, database_url):
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    await events.append(pen, "custom", "1")
    await end(pen)

    assert [name for _, name, _ in await collect(elsewhere, pen.run_id)] == ["custom", "end"]


async def test_who_expected_a_run_reads_what_was_told_of_it_and_asks_for_nothing(events):
    run_id = uuid.uuid4()
    expected = events.expect(run_id)
    told = '[["values","{}","2026-01-01T00:00:00Z"],["end","{}","2026-01-01T00:00:00Z"]]'
    events.wake(f"{run_id},{run_id}!\n0\n{told}")

    pages = [page async for page in events.pages(run_id, expected=expected)]

    # There is no such run in the database.
    assert [[event.event for event in page] for page in pages] == [["values", "end"]]


async def test_who_expected_a_run_asks_for_what_no_notification_had_room_for(events, pen, end):
    expected = events.expect(pen.run_id)
    await events.append(pen, "values", '"' + "x" * telling.NOTIFIED_BYTES + '"')
    await end(pen)

    seqs = [
        event.seq
        for page in [page async for page in events.pages(pen.run_id, expected=expected)]
        for event in page
    ]

    assert seqs == [1, 2]


async def test_who_expected_a_run_looks_for_itself_when_notifications_were_missed(events, pen, end):
    expected = events.expect(pen.run_id)
    events.wake_all()
    await end(pen)

    seqs = [
        event.seq
        for page in [page async for page in events.pages(pen.run_id, expected=expected)]
        for event in page
    ]

    assert seqs == [1]


async def test_who_waits_for_an_expected_run_knows_that_it_ended(events):
    run_id = uuid.uuid4()
    expected = events.expect(run_id)
    events.wake(telling.ending(run_id))

    await events.ended(run_id, expected=expected)

    assert expected.has_ended


async def test_nothing_is_kept_of_a_run_that_nobody_expects_any_more(events):
    run_id = uuid.uuid4()
    expected = events.expect(run_id)
    del expected

    events.wake(f"{run_id}\n0\n[]")

    assert await anext(events.pages(run_id), None) is None
