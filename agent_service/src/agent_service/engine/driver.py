"""pgqueuer's driver on our pool and our listener, so that a statement never waits behind a notification."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self, TypeVar

import psycopg
import structlog
from pgqueuer.core.tm import TaskManager
from pgqueuer.ports.driver import Driver, NotifyCallback
from psycopg import AsyncRawCursor
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from agent_service import database

RETRY_DELAY = timedelta(seconds=0.5)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class _Statements(Driver):
    """What both drivers do with a connection."""

    def __init__(self) -> None:
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tasks

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shutdown.set()


class TransactionDriver(_Statements):
    """Statements inside a transaction that somebody else opened."""

    def __init__(self, connection: database.Connection) -> None:
        super().__init__()
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        cursor = await _run(self._connection, query, args)
        return await cursor.fetchall()

    async def execute(self, query: str, *args: object) -> str:
        cursor = await _run(self._connection, query, args)
        return cursor.statusmessage or ""

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        raise NotImplementedError("A transaction does not listen.")


class PoolDriver(_Statements):
    """A worker's statements and notifications.

    pgqueuer's loop ends with the first statement that fails, so while PostgreSQL is away it waits here.
    What a statement did before its answer was lost is not undone: a job that was taken then is taken again
    when its heartbeat is old.
    """

    def __init__(self, pool: database.Pool, listener: database.Listener) -> None:
        super().__init__()
        self._pool = pool
        self._listener = listener
        self._subscriptions: list[tuple[str, Callable[[str], None]]] = []
        self.matters: Callable[[str], bool] = lambda _: True
        """Which notifications are passed on."""

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await self._retried(lambda statements: statements.fetch(query, *args))

    async def execute(self, query: str, *args: object) -> str:
        return await self._retried(lambda statements: statements.execute(query, *args))

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        def pass_on(notification: str) -> None:
            if self.matters(notification):
                callback(notification)

        self._listener.subscribe(channel, pass_on)
        self._subscriptions.append((channel, pass_on))

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        for channel, callback in self._subscriptions:
            self._listener.unsubscribe(channel, callback)
        self._subscriptions.clear()

    async def _retried(self, action: Callable[[TransactionDriver], Awaitable[T]]) -> T:
        while True:
            try:
                async with self._pool.connection() as connection:
                    return await action(TransactionDriver(connection))
            except (psycopg.OperationalError, PoolTimeout):
                if self._shutdown.is_set():
                    raise
                log.warning("queue.database_away", exc_info=True)
            await asyncio.sleep(RETRY_DELAY.total_seconds())


async def _run(
    connection: database.Connection, query: str, args: tuple[object, ...]
) -> AsyncRawCursor[DictRow]:
    cursor = AsyncRawCursor(connection, row_factory=dict_row)
    await cursor.execute(query, args or None)
    return cursor
