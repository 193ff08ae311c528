"""The events of runs: an append-only table, replayed from any place and followed live."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from uuid import UUID
from weakref import WeakValueDictionary

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from agent_service import database
from agent_service.events import telling
from shared_schemas import crashing

CHANNEL = "mandate_events"
THREAD_CHANNEL = "mandate_threads"
"""Names the threads that have a new run."""

CHANNELS = (CHANNEL, THREAD_CHANNEL)

BATCH_EVERY = timedelta(milliseconds=20)
"""The first event of a kind is written at once, others together after this time."""

BATCH_SIZE = 200
"""Events of one statement. Their runs' ids must fit into one notification of 8,000 bytes."""

BACKLOG = 5000
"""So many events wait for PostgreSQL before their runs do."""

PAGE_SIZE = 500

READERS = 50
"""Of one query."""

SAFETY_POLL = timedelta(seconds=1)
"""How soon a waiting reader looks for itself, should its notification be lost."""

ENDED_POLL = timedelta(seconds=5)
"""The same for who waits for a run's end alone."""

RETRY_DELAY = timedelta(seconds=0.5)

_NOT_URGENT = "values"
"""Whoever reads other kinds of events sees the first of each at once; every run has values."""

QUERIES = database.load_queries(resources.files("agent_service.events").joinpath("queries.sql").read_text())

_WRITE_AGAIN = QUERIES["write"]
_WRITE = _WRITE_AGAIN.replace("ON CONFLICT DO NOTHING", "")
"""What it writes is new, so that PostgreSQL need not look for it first; unless the answer was lost."""

log = structlog.get_logger(__name__)


def _nothing() -> None: ...


@dataclass(slots=True, kw_only=True)
class Pen:
    """One worker's right to write one run's events."""

    run_id: UUID
    epoch: int
    seq: int
    """Of the last event written."""

    kinds: set[str] = field(default_factory=lambda: {_NOT_URGENT})
    """Of events whose next one need not hurry."""

    on_lost: Callable[[], None] = field(default=_nothing)
    """Called when another worker has the run."""

    on_cancel: Callable[[], None] = field(default=_nothing)
    """Called when somebody asked for the run's end."""


@dataclass(slots=True, kw_only=True)
class Page:
    """What there was of a run's events behind some place, at most so many."""

    events: list[telling.RunEvent] = field(default_factory=list)
    unfinished: bool = False
    """At that moment the run had not ended, nor was it taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    run_id: UUID
    after: int
    page: "asyncio.Future[Page]"


@dataclass(slots=True, kw_only=True)
class EventLog:
    """Writes events in batches and reads them, from this process or any other."""

    pool: database.Pool
    _pending: list[tuple[Pen, telling.RunEvent]] = field(default_factory=list, init=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _urgent: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _wanted: list[_Wanted] = field(default_factory=list, init=False)
    _paging: asyncio.Task[None] | None = field(default=None, init=False)
    _readers: dict[str, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set), init=False)
    _fresh: dict[str, deque[telling.Told]] = field(default_factory=dict, init=False)
    """What was told last of the runs that somebody reads here."""

    _expected: WeakValueDictionary[str, telling.Expected] = field(
        default_factory=WeakValueDictionary, init=False
    )
    _gaps: int = field(default=0, init=False)
    """How often notifications may have been missed."""

    async def append(self, pen: Pen, event: str, data: str) -> None:
        """Write an event soon; wait only while PostgreSQL is far behind."""
        pen.seq += 1
        item = telling.RunEvent(
            run_id=pen.run_id, seq=pen.seq, event=event, data=data, created_at=datetime.now(UTC)
        )
        self._pending.append((pen, item))
        self._arrived.set()
        if (kind := kind_of(event)) not in pen.kinds:
            pen.kinds.add(kind)
            self._urgent.set()
        if len(self._pending) > BACKLOG:
            await self._write_pending()

    async def close(self, pen: Pen) -> list[tuple[str, str]]:
        """Return what is not written yet, for the transaction that ends the run; nothing may follow."""
        async with self._writing:
            mine = [(item.event, item.data) for owner, item in self._pending if owner is pen]
            self._pending = [entry for entry in self._pending if entry[0] is not pen]
            return mine

    async def write(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._arrived.wait()
            await wait(self._urgent, patience=BATCH_EVERY)
            self._urgent.clear()
            await self._write_pending()

    async def read(self, run_id: UUID, *, after: int = 0) -> AsyncIterator[telling.RunEvent]:
        """Yield the events behind `after`, then live ones, up to and including `end`."""
        async with aclosing(self.pages(run_id, after=after)) as pages:
            async for page in pages:
                for event in page:
                    yield event

    def expect(self, run_id: UUID) -> telling.Expected:
        """Hear of a run from its creation on, which comes next, for as long as somebody keeps what this returns."""
        expected = self._expected[str(run_id)] = telling.Expected(gaps=self._gaps)
        return expected

    async def pages(
        self, run_id: UUID, *, after: int = 0, expected: telling.Expected | None = None
    ) -> AsyncGenerator[list[telling.RunEvent]]:
        """Yield the events behind `after`, then live ones, as many at a time as there are."""
        with self.waiting(run_id) as arrived:
            if expected is not None:
                self._fresh.setdefault(str(run_id), telling.latest()).extend(expected.told)
                if not expected.has_more and expected.gaps == self._gaps:
                    await wait(arrived)
            while True:
                arrived.clear()
                page = self._fresh_page(run_id, after) or await self._page(run_id, after)
                if page.events:
                    after = page.events[-1].seq
                    yield page.events
                if not page.unfinished and len(page.events) < PAGE_SIZE:
                    return
                # Whoever writes more, from now on or since the page was read, tells so.
                if page.unfinished and len(page.events) < PAGE_SIZE:
                    await wait(arrived)

    async def ended(self, run_id: UUID, *, expected: telling.Expected | None = None) -> None:
        """Wait until a run has ended or is gone, without a look at its events."""
        if expected is not None and expected.has_ended:
            return
        with self.waiting(f"{run_id}{telling.ENDED}") as arrived:
            gaps = self._gaps
            is_known = expected is not None and expected.gaps == gaps
            while is_known or await self._is_unfinished(run_id):
                is_known = False
                if await wait(arrived, patience=ENDED_POLL) and gaps == self._gaps:
                    return
                gaps = self._gaps
                arrived.clear()

    async def last(self, run_id: UUID, event: str) -> str | None:
        """Return the data of a run's last event of a kind."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(QUERIES["last"], {"run_id": run_id, "event": event})
            row = await cursor.fetchone()
        return None if row is None else str(row["data"])

    def wake(self, notification: str) -> None:
        """Tell the readers of these runs or threads, separated by commas, that there is more, or what."""
        ids, _, told = notification.partition("\n")
        if told:
            self._hand_over(ids.partition(",")[0], told)
        self._wake(ids.split(","))

    def wake_all(self) -> None:
        self._gaps += 1
        self._wake(tuple(self._readers))

    def _wake(self, names: Iterable[str]) -> None:
        for name in names:
            if expected := self._expected.get(name.removesuffix(telling.ENDED)):
                expected.has_more = True
                expected.has_ended |= name.endswith(telling.ENDED)
            for arrived in self._readers.get(name, ()):
                arrived.set()

    @contextmanager
    def waiting(self, *ids: UUID | str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever there is more of these runs or threads."""
        arrived = asyncio.Event()
        names = [str(name) for name in ids]
        for name in names:
            self._readers[name].add(arrived)
        try:
            yield arrived
        finally:
            for name in names:
                self._readers[name].discard(arrived)
                if not self._readers[name]:
                    del self._readers[name]
                    self._fresh.pop(name, None)

    async def _is_unfinished(self, run_id: UUID) -> bool:
        return bool(await database.read(self.pool, QUERIES["is_unfinished"], {"run_id": run_id}))

    def _fresh_page(self, run_id: UUID, after: int) -> Page | None:
        """Return the events behind `after` of which notifications told, unless there are none."""
        found: list[telling.RunEvent] = []
        for told in self._fresh.get(str(run_id), ()):
            if told.before == after:
                events = told.of(run_id)
                found += events
                after += len(events)
        return Page(events=found, unfinished=found[-1].event != telling.END) if found else None

    def _hand_over(self, name: str, told: str) -> None:
        expected = self._expected.get(name)
        if expected is None and name not in self._readers:
            return
        item = telling.read(told)
        if expected is not None:
            expected.told.append(item)
        if name in self._readers:
            self._fresh.setdefault(name, telling.latest()).append(item)

    async def _page(self, run_id: UUID, after: int) -> Page:
        """Return a run's next events; readers that ask at the same time are answered by one query."""
        page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self._wanted.append(_Wanted(run_id=run_id, after=after, page=page))
        if self._paging is None or self._paging.done():
            self._paging = asyncio.create_task(self._read_wanted())
        return await page

    async def _read_wanted(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted[:READERS], self._wanted[READERS:]
            try:
                pages = await self._pages(wanted)
            except Exception as error:  # noqa: BLE001 - it is the readers'
                for item in wanted:
                    if not item.page.done():
                        item.page.set_exception(error)
            else:
                for item, page in zip(wanted, pages, strict=True):
                    if not item.page.done():
                        item.page.set_result(page)

    async def _pages(self, wanted: Sequence[_Wanted]) -> list[Page]:
        values = {
            "run_ids": [item.run_id for item in wanted],
            "afters": [item.after for item in wanted],
            "limit": PAGE_SIZE,
        }
        pages = [Page() for _ in wanted]
        for row in await database.read(self.pool, QUERIES["read"], values):
            page = pages[row.pop("place") - 1]
            page.unfinished = row.pop("unfinished")
            if row["run_id"] is not None:
                page.events.append(telling.RunEvent(**row))
        return pages

    async def _write_pending(self) -> None:
        async with self._writing:
            self._arrived.clear()
            while self._pending:
                batch = self._pending[:BATCH_SIZE]
                await self._write_batch(batch)
                del self._pending[: len(batch)]

    async def _write_batch(self, batch: Sequence[tuple[Pen, telling.RunEvent]]) -> None:
        held = await self._insert(batch)
        crashing.point("events.after_write")
        for pen in {id(pen): pen for pen, _ in batch}.values():
            if (pen.run_id, pen.epoch) not in held:
                pen.on_lost()
            elif held[pen.run_id, pen.epoch]:
                pen.on_cancel()

    async def _insert(
        self, batch: Sequence[tuple[Pen, telling.RunEvent]]
    ) -> dict[tuple[UUID, int], str | None]:
        """Write the events of the runs that are still held, and return those with what was asked of them."""
        # One text: psycopg quotes the items of arrays one by one, in Python.
        values = {"batch": orjson.dumps(list(_by_run(batch))).decode()}
        query = _WRITE
        while True:
            try:
                async with self.pool.connection() as connection:
                    cursor = await connection.execute(query, values)
                    return {
                        (row["run_id"], row["epoch"]): row["cancel_action"] for row in await cursor.fetchall()
                    }
            except psycopg.errors.UniqueViolation:
                query = _WRITE_AGAIN
                continue
            except (psycopg.OperationalError, PoolTimeout):
                log.warning("events.database_away", events=len(batch), exc_info=True)
            await asyncio.sleep(RETRY_DELAY.total_seconds())


async def keep(connection: database.Connection, run_id: UUID, events: Sequence[tuple[str, str]]) -> None:
    """Write events in the transaction of somebody who holds the run's row."""
    await connection.execute(QUERIES["close"], {"run_id": run_id} | _closing(events, wakes=str(run_id)))


def kind_of(event: str) -> str:
    """Return the stream mode of an event, without a subgraph's names and what it says of a message."""
    return event.partition("|")[0].partition("/")[0]


def ending_values(run_id: UUID, events: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return a run's last events and `end`, as the parameters of a statement."""
    return _closing([*events, (telling.END, "{}")], wakes=telling.ending(run_id))


def _closing(events: Sequence[tuple[str, str]], *, wakes: str) -> dict[str, object]:
    at = datetime.now(UTC)
    told = orjson.dumps([(name, data, at) for name, data in events])
    return {
        "events": orjson.dumps(events).decode(),
        "created_at": at,
        "wakes": wakes,
        "told": told.decode() if telling.fits(told, room=len(wakes)) else None,
    }


def _by_run(batch: Sequence[tuple[Pen, telling.RunEvent]]) -> Iterator[dict[str, object]]:
    """Yield the events of each run, which follow one another, and whether they fit into a notification."""
    of_runs: dict[int, list[tuple[Pen, telling.RunEvent]]] = defaultdict(list)
    for entry in batch:
        of_runs[id(entry[0])].append(entry)
    for entries in of_runs.values():
        pen, first = entries[0]
        events = orjson.dumps([(item.event, item.data, item.created_at) for _, item in entries])
        yield {
            "run_id": pen.run_id,
            "epoch": pen.epoch,
            "before": first.seq - 1,
            "events": orjson.Fragment(events),
            "fits": telling.fits(events, room=len(str(pen.run_id))),
        }


async def wait(arrived: asyncio.Event, *, patience: timedelta = SAFETY_POLL) -> bool:
    """Wait for a notification, or until it is time to look without one; tell whether it came."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience.total_seconds()):
            return await arrived.wait()
    return False


@asynccontextmanager
async def open_log(pool: database.Pool, listener: database.Listener) -> AsyncIterator[EventLog]:
    """Open the log of this process."""
    events = EventLog(pool=pool)
    for channel in CHANNELS:
        listener.subscribe(channel, events.wake)
    listener.subscribe_to_gaps(events.wake_all)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(events.write())
        yield events
        writing.cancel()
