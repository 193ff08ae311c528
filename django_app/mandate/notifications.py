"""LISTEN and NOTIFY: whoever waits for a change is woken when it commits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg import sql

logger = logging.getLogger(__name__)

OUTBOX = "mandate_outbox"
RUNS = "mandate_runs"


def notify(channel: str, payload: str = "") -> None:
    """Wake the listeners of `channel` when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])


def connection_parameters() -> dict[str, Any]:
    """Return how to open a connection of one's own to Django's database.

    LISTEN belongs to one session: it can use neither Django's pool nor a pooler in transaction mode.
    """
    database = connection.settings_dict
    named = {
        "dbname": database["NAME"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "host": database["HOST"],
        "port": database["PORT"],
    }
    ours = {"pool", "server_side_binding", "isolation_level", "assume_role"}
    options = {name: value for name, value in database["OPTIONS"].items() if name not in ours}
    return {name: value for name, value in named.items() if value} | options


class Listener:
    """One session that listens to one channel."""

    def __init__(self, channel: str) -> None:
        self._connection = psycopg.connect(**connection_parameters(), autocommit=True)
        self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    def wait(self, timeout: float) -> bool:
        """Wait for a notification; several that came together are one.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        return bool(list(self._connection.notifies(timeout=timeout, stop_after=1)))

    def close(self) -> None:
        self._connection.close()


class Board:
    """Wakes the watchers of one event loop; it listens while there are any."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, payload: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever `payload` is notified, and once the listening begins."""
        changed = asyncio.Event()
        self._watchers.setdefault(payload, set()).add(changed)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen_for_ever())
        try:
            yield changed
        finally:
            self._watchers[payload].discard(changed)
            if not self._watchers[payload]:
                del self._watchers[payload]
            if not self._watchers:
                self._listening.cancel()
                self._listening = None

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                logger.warning("notifications.database_lost reason=%s", error)
                await asyncio.sleep(1)

    async def _listen(self) -> None:
        connecting = psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True)
        async with await connecting as session:
            await session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(RUNS)))
            for watchers in self._watchers.values():
                _wake(watchers)
            async for notification in session.notifies():
                _wake(self._watchers.get(notification.payload, ()))


def _wake(watchers: Iterable[asyncio.Event]) -> None:
    for changed in watchers:
        changed.set()


_boards: WeakKeyDictionary[asyncio.AbstractEventLoop, Board] = WeakKeyDictionary()


def board() -> Board:
    """Return the running event loop's board: all streams of a process share one session."""
    return _boards.setdefault(asyncio.get_running_loop(), Board())
