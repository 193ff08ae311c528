"""The tables of this service, of its queue and of its checkpoints. Nothing else makes a table."""

import asyncio
from datetime import timedelta
from importlib import resources

import psycopg
import structlog
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from pgqueuer.adapters.persistence.queries import Queries
from psycopg import sql
from psycopg.rows import dict_row

from agent_service import database, migrations
from agent_service.engine import driver

LOCK = 7_166_121_409
"""Of the advisory lock that lets one process migrate at a time."""

LOCK_POLL = timedelta(seconds=0.2)

log = structlog.get_logger(__name__)


async def migrate(database_url: str) -> list[str]:
    """Bring a database up to date and return the names of the files that were applied."""
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, row_factory=dict_row
    ) as connection:
        await _lock(connection)
        applied = await _apply_files(connection)
        await _install_queue(connection)
        await AsyncPostgresSaver(connection).setup()
    log.info("migrations.done", applied=applied)
    return applied


async def _lock(connection: database.Connection) -> None:
    # Not pg_advisory_lock(): the checkpoints' CREATE INDEX CONCURRENTLY would wait for whoever waits in it.
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS locked", (LOCK,))
        row = await cursor.fetchone()
        assert row is not None
        if row["locked"]:
            return
        await asyncio.sleep(LOCK_POLL.total_seconds())


async def _apply_files(connection: database.Connection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS applied_migrations"
        " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    cursor = await connection.execute("SELECT name FROM applied_migrations")
    known = {row["name"] for row in await cursor.fetchall()}
    files = {file.name: file for file in resources.files(migrations).iterdir() if file.name.endswith(".sql")}
    missing = sorted(files.keys() - known)
    for name in missing:
        async with connection.transaction():
            await connection.execute(sql.SQL(files[name].read_text()))
            await connection.execute("INSERT INTO applied_migrations (name) VALUES (%s)", (name,))
    return missing


async def _install_queue(connection: database.Connection) -> None:
    queries = Queries(driver.TransactionDriver(connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
