"""The events of runs: an append-only table, replayed from any place and followed live."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

END = "end"
"""The last event of a run. It is visible only with the run's terminal status."""


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


class EventLog:
    """Writes events in batches and reads them, from this process or any other."""

    def read(self, run_id: UUID, *, after: int = 0) -> AsyncIterator[RunEvent]:
        """Yield the events behind `after`, then live ones, up to and including `end`."""
        raise NotImplementedError
