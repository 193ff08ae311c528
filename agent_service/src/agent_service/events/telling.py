"""What notifications tell: which runs there is more of, and the events themselves where there is room for them."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

END = "end"
"""The last event of a run. It is visible only with the run's terminal status."""

ENDED = "!"
"""Behind the id of a run that has ended, for those who only wait for that."""

NOTIFIED_BYTES = 7900
"""A run's events that fit into one notification travel in it, so that no reader asks for them."""

REMEMBERED = 8
"""Notifications of a run that are kept for its readers; one who is further behind asks for a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One event of a run. Rows are never updated."""

    run_id: UUID
    seq: int
    """Counts the events of one run from 1; the SSE id."""

    event: str
    """`metadata`, `values`, `updates`, `messages`, `custom`, `error`, `end`; `updates|ns1|ns2` of a subgraph."""

    data: str
    """JSON."""

    created_at: datetime


@dataclass(slots=True, kw_only=True)
class Told:
    """One notification with events in it, read when the first reader wants them."""

    before: int
    """The sequence in front of the first."""

    text: str
    events: list[RunEvent] | None = None

    def of(self, run_id: UUID) -> list[RunEvent]:
        if self.events is None:
            self.events = [
                RunEvent(
                    run_id=run_id,
                    seq=seq,
                    event=event,
                    data=data,
                    created_at=datetime.fromisoformat(created_at),
                )
                for seq, (event, data, created_at) in enumerate(orjson.loads(self.text), self.before + 1)
            ]
            self.text = ""
        return self.events


def latest() -> deque[Told]:
    """Return room for the notifications of one run."""
    return deque(maxlen=REMEMBERED)


@dataclass(slots=True, weakref_slot=True, kw_only=True)
class Expected:
    """A run that is about to be created, and what notifications told of it since: nobody need ask for that."""

    gaps: int
    """How often notifications may have been missed before."""

    told: deque[Told] = field(default_factory=latest)
    has_more: bool = False
    """Something was written, whether it was told or not."""

    has_ended: bool = False


def ending(run_id: UUID) -> str:
    """Return the notification of a run's end: for those who read its events, and those who only wait for it."""
    return f"{run_id},{run_id}{ENDED}"


def fits(events: bytes, *, room: int) -> bool:
    """Tell whether a notification has room for events behind their ids."""
    return len(events) + room + len(str(2**63)) < NOTIFIED_BYTES


def read(told: str) -> Told:
    """Read what a notification tells behind its ids."""
    before, _, text = told.partition("\n")
    return Told(before=int(before), text=text)
