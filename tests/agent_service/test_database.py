import asyncio
from datetime import timedelta

import pytest

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
