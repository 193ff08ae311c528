"""Pages of a list that may be very long."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from django.db.models import QuerySet

MOST_COUNTED = 1_000

_MOST_PAGES = 100_000
_NUMBER = re.compile("[0-9]{1,9}")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows of a list, read in two queries, neither of which grows with the list."""

    object_list: list[Row]
    number: int
    size: int
    counted: int
    """How many rows the list has, or one more than `MOST_COUNTED`."""

    has_next: bool

    @classmethod
    def of(cls, found: QuerySet[Any, Row], asked: str | None, *, size: int) -> Self:
        """Read the page of a number; where there is no such page, the nearest."""
        counted = found.order_by()[: MOST_COUNTED + 1].count()
        most = math.ceil(counted / size) if counted <= MOST_COUNTED else _MOST_PAGES
        number = max(min(_whole(asked), most), 1)
        first = (number - 1) * size
        rows = list(found[first : first + size + 1])
        return cls(
            object_list=rows[:size], number=number, size=size, counted=counted, has_next=len(rows) > size
        )

    def __iter__(self) -> Iterator[Row]:
        return iter(self.object_list)

    @property
    def count(self) -> str:
        """Return how many rows there are, for people."""
        return str(self.counted) if self.counted <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"

    @property
    def pages(self) -> int | None:
        """Return how many pages there are, where all rows were counted."""
        return math.ceil(self.counted / self.size) if self.counted <= MOST_COUNTED else None

    @property
    def has_previous(self) -> bool:
        return self.number > 1

    @property
    def has_other_pages(self) -> bool:
        return self.has_previous or self.has_next

    @property
    def previous_page_number(self) -> int:
        return self.number - 1

    @property
    def next_page_number(self) -> int:
        return self.number + 1


def _whole(asked: str | None) -> int:
    return int(asked) if asked and _NUMBER.fullmatch(asked) else 1
