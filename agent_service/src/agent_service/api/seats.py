"""How many answers may last at once: for one run or thread, for one caller, and in the whole process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from agent_service import exceptions
from shared_schemas.problems import ErrorCode

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Seats:
    """Those that are taken in this process."""

    per_subject: int
    """Of one run or thread."""

    per_caller: int
    in_all: int
    _subjects: Counter[UUID] = field(default_factory=Counter, init=False)
    _callers: Counter[str] = field(default_factory=Counter, init=False)
    _taken: int = field(default=0, init=False)

    @contextmanager
    def kept(self, caller: str) -> Iterator[None]:
        """Take one of a caller's for as long as the block lasts, whatever the answer will be about.

        Raises:
            RequestError: TOO_MANY_REQUESTS.
        """
        if self._callers[caller] >= self.per_caller:
            raise _full(f"You have {self.per_caller} streams and waits open")
        if self._taken >= self.in_all:
            raise _full("This process has as many streams and waits open as it may")
        self._add(caller, 1)
        try:
            yield
        finally:
            self._add(caller, -1)

    @contextmanager
    def about(self, subject: UUID) -> Iterator[None]:
        """Take one of a run's or thread's for as long as the block lasts.

        Raises:
            RequestError: TOO_MANY_REQUESTS.
        """
        if self._subjects[subject] >= self.per_subject:
            raise _full(f"{self.per_subject} streams and waits are open for this run or thread")
        _count(self._subjects, subject, 1)
        try:
            yield
        finally:
            _count(self._subjects, subject, -1)

    @contextmanager
    def taken(self, subject: UUID, *, caller: str) -> Iterator[None]:
        """Take one of both.

        Raises:
            RequestError: TOO_MANY_REQUESTS.
        """
        with self.kept(caller), self.about(subject):
            yield

    def _add(self, caller: str, number: int) -> None:
        self._taken += number
        _count(self._callers, caller, number)


def _count(counter: Counter[T], name: T, number: int) -> None:
    counter[name] += number
    if not counter[name]:
        del counter[name]


def _full(reason: str) -> exceptions.RequestError:
    return exceptions.RequestError(ErrorCode.TOO_MANY_REQUESTS, f"{reason}; close one first.")
