import asyncio
from datetime import timedelta

import pytest
from psycopg import pq

from agent_service import database


@pytest.fixture
async def pool(settings):
    """Open a pool of one connection."""
    url = settings.database_url.get_secret_value()
    async with database.open_pool(url, min_size=1, max_size=1, patience=timedelta(seconds=60)) as pool:
        yield pool


async def test_who_is_cancelled_in_the_moment_its_connection_comes_is_cancelled(pool):
    held = await pool.getconn()
    waiting = asyncio.create_task(pool.getconn())
    for _ in range(10):
        await asyncio.sleep(0)
    assert pool.get_stats()["requests_waiting"] == 1

    await pool.putconn(held)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT 1 AS answer")
        assert await cursor.fetchone() == {"answer": 1}


async def test_nobody_gets_a_connection_that_was_left_in_a_pipeline(pool):
    left = await pool.getconn()
    await left.pipeline().__aenter__()

    await pool.putconn(left)

    async with pool.connection() as connection:
        assert connection.pgconn.pipeline_status == pq.PipelineStatus.OFF
        cursor = await connection.execute("SELECT 1 AS answer")
        assert await cursor.fetchone() == {"answer": 1}


async def test_a_closed_connection_goes_back_as_any_other(pool):
    closed = await pool.getconn()
    await closed.close()

    await pool.putconn(closed)

    async with pool.connection() as connection:
        assert not connection.closed


async def test_the_connection_that_came_back_last_is_taken_first(settings):
    url = settings.database_url.get_secret_value()
    async with database.open_pool(url, min_size=2, max_size=2, patience=timedelta(seconds=60)) as pool:
        first, second = await pool.getconn(), await pool.getconn()
        await pool.putconn(second)
        await pool.putconn(first)

        async with pool.connection() as latest:
            assert latest is first
