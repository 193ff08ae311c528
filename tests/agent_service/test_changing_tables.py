"""A later release's migration, applied while this one works."""

import uuid
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from agent_service import database
from tests.agent_service import house

TABLES = (
    "threads",
    "runs",
    "run_events",
    "run_results",
    "run_beginnings",
    "webhooks",
    "assistants",
    "assistant_versions",
    "checkpoints",
    "checkpoint_blobs",
    "checkpoint_writes",
    "pgqueuer",
    "pgqueuer_log",
)


@pytest.fixture
def own_database(make_database, migrated_database):
    return make_database(migrated_database)


@pytest.fixture
def service(own_database):
    """A service of two connections, so that each soon knows every statement."""
    graphs = Path(__file__).parent / "sdk" / "threads" / "langgraph.json"
    with house.opened(house.settings(own_database, graphs, pool_min_size=2, pool_max_size=2)) as served:
        yield served


async def use(client):
    """Do everything that reads whole rows."""
    assistant = await client.assistants.create("adding", name=str(uuid.uuid4()))
    await client.assistants.update(assistant["assistant_id"], name="changed")
    await client.assistants.get(assistant["assistant_id"])
    await client.assistants.search()
    await client.assistants.get_versions(assistant["assistant_id"])
    thread = await client.threads.create()
    thread_id = thread["thread_id"]
    await client.threads.update(thread_id, metadata={"a": 1})
    await client.runs.wait(thread_id, assistant["assistant_id"], input={"text": "a"})
    run = await client.runs.create(thread_id, "adding", input={"text": "b"})
    await client.runs.join(thread_id, run["run_id"])
    await client.runs.get(thread_id, run["run_id"])
    later = await client.runs.create(thread_id, "adding", input={"text": "c"}, after_seconds=3600)
    await client.runs.cancel(thread_id, later["run_id"])
    await client.threads.update_state(thread_id, {"text": "d"})
    await client.threads.get_history(thread_id)
    await client.threads.search()
    await client.threads.copy(thread_id)
    await client.runs.list(thread_id)
    await client.runs.delete(thread_id, run["run_id"])
    await client.threads.delete(thread_id)
    return await client.runs.wait(None, "adding", input={"text": "e"})


async def test_columns_that_a_migration_adds_disturb_nobody(client, own_database):
    before = [await use(client) for _ in range(3)]

    with psycopg.connect(own_database, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN of_a_later_release text")
    after = [await use(client) for _ in range(3)]

    assert before == after


async def test_a_connection_whose_statements_are_stale_is_replaced(own_database):
    def ask(connection):
        return connection.execute("SELECT graph_id FROM runs WHERE false")

    async with database.open_pool(
        own_database, min_size=1, max_size=1, patience=timedelta(seconds=5)
    ) as pool:
        async with pool.connection() as connection:
            await ask(connection)
        with psycopg.connect(own_database, autocommit=True) as connection:
            connection.execute("ALTER TABLE runs ALTER COLUMN graph_id TYPE varchar(100)")
        with pytest.raises(database.StalePlan):
            async with pool.connection() as connection:
                await ask(connection)

        async with pool.connection() as connection:
            assert await (await ask(connection)).fetchall() == []
