"""The events of a thread: those of all its runs, one after the other, then live over their boundaries.

Runs of a thread never overlap, so the events behind its first unfinished run are not to be seen yet: at most
the end of a run that was cancelled while it waited.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

from agent_service import database
from agent_service.events import log, telling


class Place(NamedTuple):
    """Where in a thread's events a reader is."""

    ordinal: int
    """Of the run; 0 is before the first."""

    seq: int
    """Of the run's event; 0 is before the first."""


START = Place(0, 0)
_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadEvent:
    """One event of one of a thread's runs."""

    place: Place
    item: telling.RunEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a reader looks at; the others stay in the database."""

    names: frozenset[str]
    """Without their namespaces."""

    with_text: str
    """So are values and updates in which this stands."""


async def read(
    events: log.EventLog, thread_id: UUID, *, after: Place = START, wanted: Wanted | None = None
) -> AsyncIterator[ThreadEvent]:
    """Yield the events behind `after`, then live ones, for as long as the thread is there.

    A run that is taken back leaves none; whoever saw it begin is told of its end.
    """
    head: UUID | None = None
    begun: telling.RunEvent | None = None
    while True:
        with events.waiting(thread_id, *([] if head is None else [head])) as arrived:
            page = await _page(events, thread_id, after, wanted)
            if not page:
                return
            for row in page:
                if row["run_id"] is None:
                    continue
                if begun and begun.run_id != row["run_id"]:
                    yield _taken_back(begun, after)
                    begun = None
                after = Place(row["ordinal"], row["seq"])
                if row["is_wanted"]:
                    event = _event(row)
                    begun = None if event.item.event == telling.END else event.item
                    yield event
            if begun and page[0]["run_id"] is None and begun.run_id != page[0]["head"]:
                yield _taken_back(begun, after)
                begun = None
            watched, head = head, page[0]["head"]
            # Whoever begins to wait for another run looks once more, for what came just before.
            if page[0]["run_id"] is None and head == watched:
                await log.wait(arrived)


async def now(events: log.EventLog, thread_id: UUID) -> Place:
    """Return the place before the thread's first unfinished run, or behind all that there is."""
    (row,) = await database.read(events.pool, log.QUERIES["last_ended"], {"thread_id": thread_id})
    return Place(row["ordinal"], _LAST)


async def _page(
    events: log.EventLog, thread_id: UUID, after: Place, wanted: Wanted | None
) -> list[dict[str, Any]]:
    """Return a row for each event, at least one while the thread is there; all name the unfinished run.

    The last one tells how far the page reaches, wanted or not.
    """
    values = {
        "thread_id": thread_id,
        "ordinal": after.ordinal,
        "seq": after.seq,
        "limit": log.PAGE_SIZE,
        "names": wanted and list(wanted.names),
        "text": wanted and wanted.with_text,
    }
    return await database.read(events.pool, log.QUERIES["read_thread"], values)


def _taken_back(begun: telling.RunEvent, place: Place) -> ThreadEvent:
    return ThreadEvent(place=place, item=replace(begun, seq=place.seq + 1, event=telling.END, data="{}"))


def _event(row: dict[str, Any]) -> ThreadEvent:
    names = ("run_id", "seq", "event", "data", "created_at")
    item = telling.RunEvent(**{name: row[name] for name in names})
    return ThreadEvent(place=Place(row["ordinal"], row["seq"]), item=item)
