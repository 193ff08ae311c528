import asyncio

import psycopg
import pytest

from agent_service import migrating


@pytest.fixture
def empty_database(make_database):
    return make_database()


async def test_the_second_time_nothing_is_applied(empty_database):
    first = await migrating.migrate(empty_database)

    second = await migrating.migrate(empty_database)

    assert first[0] == "0001_initial.sql"
    assert second == []


async def test_two_processes_migrate_at_once(empty_database):
    both = await asyncio.gather(migrating.migrate(empty_database), migrating.migrate(empty_database))

    assert min(both, key=len) == []


async def test_a_failed_file_leaves_nothing(empty_database):
    async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as connection:
        await connection.execute("CREATE TABLE run_events ()")

        with pytest.raises(psycopg.errors.DuplicateTable):
            await migrating.migrate(empty_database)

        cursor = await connection.execute("SELECT to_regclass('threads')")
        assert await cursor.fetchone() == (None,)
