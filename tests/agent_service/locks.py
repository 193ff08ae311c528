"""Who waits for a lock that a test holds."""

import asyncio

import psycopg

# PostgreSQL answers `pg_stat_activity` from one list of connections for all of a transaction, `pg_locks` anew.
WAITING = (
    "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)


async def held_up(connection: psycopg.AsyncConnection, number: int = 1) -> list[int]:
    """Return the process ids of those that wait for this connection's open transaction, once there are so many."""
    waiting: list[int] = []
    async with asyncio.timeout(60):
        while len(waiting) < number:
            cursor = await connection.execute(WAITING)
            waiting = [pid for (pid,) in await cursor.fetchall()]
    return waiting
