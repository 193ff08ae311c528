"""Who reads a thread's events in this process, and how far they are.

JavaScript's client reads a thread by two streams, and takes the first end that either tells for the end of the run
it starts next. So who only watches is told of an end behind those who read everything: then no end of an earlier run
is still on its way. Between processes nothing is promised.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from agent_service.events.threads import Place

PATIENCE = timedelta(milliseconds=200)
"""How long a watcher waits for readers, of whom one may not read at all."""


@dataclass(slots=True, kw_only=True, eq=False)
class Reader:
    """One stream of a thread's events."""

    place: Place
    """All before it and itself are sent."""

    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it comes further, or leaves."""

    left: bool = False

    def pass_by(self, place: Place) -> None:
        self.place = place
        self.moved.set()

    async def has_passed(self, place: Place) -> None:
        while self.place < place and not self.left:
            self.moved.clear()
            await self.moved.wait()


@dataclass(frozen=True, slots=True)
class Readers:
    """Those of one process."""

    _of: dict[UUID, set[Reader]] = field(default_factory=lambda: defaultdict(set), init=False)

    @contextmanager
    def reading(self, thread_id: UUID, place: Place) -> Iterator[Reader]:
        """Count as a reader of the thread from `place` on, for as long as it lasts."""
        reader = Reader(place=place)
        self._of[thread_id].add(reader)
        try:
            yield reader
        finally:
            reader.left = True
            reader.moved.set()
            self._of[thread_id].discard(reader)
            if not self._of[thread_id]:
                del self._of[thread_id]

    async def have_passed(self, thread_id: UUID, place: Place, *, within: timedelta = PATIENCE) -> None:
        """Wait until all who read the thread now have passed `place`, but not longer than so long."""
        readers = tuple(self._of.get(thread_id, ()))
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                for reader in readers:
                    await reader.has_passed(place)
