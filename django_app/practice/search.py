"""Finds lessons and tasks by words: PostgreSQL's full-text search, titles before texts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank
from django.db.models import F, QuerySet
from django.db.models.expressions import Combinable

from practice import models

MAX_WORDS = 32

_MARKUP = re.compile(r"[`*#>\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One record that was found."""

    record: models.Module | models.Task
    rank: float
    snippet: str
    """The places of the text that the words are in."""


def find(
    words: str, *, lessons: QuerySet[models.Module], tasks: QuerySet[models.Task], limit: int
) -> list[Hit]:
    """Return the records with any of the words in them, the best first."""
    query = _query(words)
    if query is None:
        return []
    hits = [
        *_hits(lessons, models.LESSON_VECTOR, text="body", query=query, limit=limit),
        *_hits(tasks.select_related("module"), models.TASK_VECTOR, text="text", query=query, limit=limit),
    ]
    return sorted(hits, key=lambda hit: hit.rank, reverse=True)[:limit]


def _query(words: str) -> SearchQuery | None:
    terms = [SearchQuery(word, config=models.SEARCH_CONFIG) for word in re.findall(r"\w+", words)[:MAX_WORDS]]
    return reduce(or_, terms) if terms else None


def _hits(
    records: QuerySet[models.Module] | QuerySet[models.Task],
    vector: Combinable,
    *,
    text: str,
    query: SearchQuery,
    limit: int,
) -> Iterator[Hit]:
    """Yield the best of these records, with the places of their field `text`."""
    found = (
        records.annotate(vector=vector)
        .filter(vector=query)
        .annotate(rank=SearchRank(F("vector"), query), snippet=_headline(text, query))
        .order_by("-rank", "pk")
    )
    return (Hit(record=record, rank=record.rank, snippet=_plain(record.snippet)) for record in found[:limit])


def _headline(field: str, query: SearchQuery) -> SearchHeadline:
    return SearchHeadline(
        field,
        query,
        config=models.SEARCH_CONFIG,
        start_sel="",
        stop_sel="",
        max_fragments=2,
        max_words=35,
        min_words=15,
        fragment_delimiter=" ... ",
    )


def _plain(snippet: str) -> str:
    return _MARKUP.sub(" ", snippet).strip()
