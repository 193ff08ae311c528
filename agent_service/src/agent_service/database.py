"""Connections to PostgreSQL: one pool for statements, one connection that listens."""

import asyncio
import select
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

Connection = psycopg.AsyncConnection[DictRow]


class LatestFirst(deque[Connection]):
    """Hands out what came back last: its backend has every statement planned, and the others may rest."""

    def append(self, item: Connection) -> None:
        self.appendleft(item)


class Pool(AsyncConnectionPool[Connection]):
    """Connections for everybody; who is cancelled while one comes is cancelled all the same."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pool = LatestFirst()

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - its base's
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        connection = await super().getconn(timeout)
        if task.cancelling() > before:
            # The `wait_for` of Python 3.11 forgets a cancel in the moment in which what it waits for is there.
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection

    async def putconn(self, conn: Connection) -> None:
        if conn.pgconn.pipeline_status:
            # Seen where many were cancelled at once. What came next would wait for a sync that nobody sends,
            # and be committed never.
            log.warning("database.left_in_pipeline", stack_info=True)
            await conn.close()
        await super().putconn(conn)


TOO_LONG = (psycopg.errors.TransactionTimeout, psycopg.errors.IdleInTransactionSessionTimeout)
"""What a process meets that stood still in a transaction, and woke: `be_brief` ended it for the others' sake."""

AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What a statement meets while PostgreSQL is away."""

CONNECT_WITHIN = 5
"""Seconds, when a process starts."""

RECONNECT_DELAY = timedelta(seconds=0.5)

_PLAN_CHECK = "RevalidateCachedQuery"
"""The function of PostgreSQL that finds a prepared statement's result to be of another shape than it was."""

DEAF_AFTER = "60s"
"""A process that takes in no notification for so long is cut off: PostgreSQL keeps them until all have."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class StalePlan(psycopg.OperationalError):
    """A statement was prepared for a table that looks different now; on another connection it works."""


class PooledConnection(Connection):
    """Leaves its pool when a table changed under what it had prepared."""

    async def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        try:
            return await super().wait(gen, *args, **options)
        except psycopg.errors.FeatureNotSupported as error:
            if error.diag.source_function != _PLAN_CHECK:
                raise
            await self.close()
            raise StalePlan(str(error)) from error


@asynccontextmanager
async def open_pool(
    url: str, *, min_size: int, max_size: int, patience: timedelta, behind_pooler: bool = False
) -> AsyncIterator[Pool]:
    """Open the pool that everything shares.

    Nothing of a session is kept between statements `behind_pooler`, which gives each transaction any connection.

    Raises:
        psycopg.OperationalError: PostgreSQL cannot be reached now.
    """
    # The pool itself would go on trying, and tell nobody why.
    await (await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_WITHIN)).close()
    pool = Pool(
        url,
        connection_class=PooledConnection,
        # What is asked for every run is planned once per connection.
        kwargs={
            "autocommit": True,
            "prepare_threshold": None if behind_pooler else 0,
            "row_factory": dict_row,
        },
        min_size=min_size,
        max_size=max_size,
        timeout=patience.total_seconds(),
        check=_check,
        open=False,
    )
    async with pool:
        await pool.wait()
        yield pool


async def _check(connection: Connection) -> None:
    # A server that went away has closed its end, which is seen here; asking each time would double the traffic.
    ends = select.poll()
    ends.register(connection.fileno(), select.POLLIN)
    if ends.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def has_state(error: BaseException | None, state: str) -> bool:
    """Tell whether PostgreSQL refused with this SQLSTATE; behind it a pipeline fails in ways of its own."""
    while error is not None:
        if isinstance(error, psycopg.Error) and error.sqlstate == state:
            return True
        error = error.__context__
    return False


async def is_my_turn(connection: Connection, lock: int) -> bool:
    """Take an advisory lock until the transaction ends, and tell whether it was free."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (lock,))
    row = await cursor.fetchone()
    assert row is not None
    return bool(row["mine"])


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read while PostgreSQL is away; at once after a connection that was killed in the middle."""
    pause = 0.0
    while True:
        try:
            return await read()
        except PoolClosed:
            raise
        except AWAY:
            log.warning("database.read_waits", exc_info=True)
        await asyncio.sleep(pause)
        pause = RECONNECT_DELAY.total_seconds()


async def read(pool: Pool, query: str, values: Mapping[str, object]) -> list[DictRow]:
    """Return the rows of a query, however long PostgreSQL is away."""

    async def ask() -> list[DictRow]:
        async with pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall()

    return await patiently(ask)


class Listener:
    """The one connection of a process that waits for NOTIFY, and hands each to its subscribers."""

    def __init__(self, url: str, *, channels: Iterable[str]) -> None:
        self._url = url
        self._channels = tuple(channels)
        self._subscribers: dict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._gap_subscribers: list[Callable[[], None]] = []
        self.listening = asyncio.Event()

    def subscribe(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call back with what comes on a channel; nothing does on one that is not listened to."""
        self._subscribers[channel].append(callback)

    def unsubscribe(self, channel: str, callback: Callable[[str], None]) -> None:
        self._subscribers[channel].remove(callback)

    def subscribe_to_gaps(self, callback: Callable[[], None]) -> None:
        """Call back after each time when notifications may have been missed."""
        self._gap_subscribers.append(callback)

    async def run(self) -> None:
        """Listen until cancelled; connect again when the connection breaks."""
        while True:
            with suppress(psycopg.OperationalError):
                await self._listen()
            self.listening.clear()
            log.warning("listener.lost")
            await asyncio.sleep(RECONNECT_DELAY.total_seconds())

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute("SELECT set_config('tcp_user_timeout', %s, false)", (DEAF_AFTER,))
            for channel in self._channels:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self.listening.set()
            for missed in self._gap_subscribers:
                missed()
            async for notification in connection.notifies():
                for callback in tuple(self._subscribers[notification.channel]):
                    callback(notification.payload)


@asynccontextmanager
async def open_listener(url: str, *, channels: Iterable[str]) -> AsyncIterator[Listener]:
    """Start listening; the block begins when PostgreSQL has answered."""
    listener = Listener(url, channels=channels)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(listener.run())
        await listener.listening.wait()
        yield listener
        running.cancel()


def load_queries(text: str, **columns: Iterable[str]) -> dict[str, str]:
    """Read a file of statements, each behind a line `-- name: what_it_is`, with these lists of columns in them."""
    for name, listed in columns.items():
        text = text.replace(f"{{{name}}}", ", ".join(listed))
    queries: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in text.splitlines():
        if line.startswith("-- name: "):
            name = line.removeprefix("-- name: ").strip()
        elif name and not line.startswith("--"):
            queries[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in queries.items()}
