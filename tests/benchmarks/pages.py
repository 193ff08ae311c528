"""The page of runs for somebody who has ten thousand, beside the same page for somebody who has none.

Both are on the same database, so both pay for what is in it. What counts is the time of the processor, in
Django and in PostgreSQL: that is the server's own, however busy the machine is otherwise. Beside it stands what
the reader waits for, by the clock on the wall.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import figures, load, measuring, requests, site

RUNS = 10_000
ROUNDS = 7
SECONDS = 1.0
PATH = "/agents/runs/"
SIDES = ("full", "empty")

TARGETS = {
    "pages.runs": figures.at_most(1.3),
    "pages.runs.first": figures.at_most(50),
    "pages.runs.wall": None,
    "pages.runs.queries": figures.at_most(1),
}
"""Ratios are those of fifty rows to none; what the page may take is said in milliseconds."""


def run(folder: Path, wanted: frozenset[str], report: figures.Report, *, rounds: int = ROUNDS) -> None:
    """Measure what a page costs that one reader asks for again and again."""
    with site.running(folder, "tests.benchmarks.page_records", str(RUNS)) as running:
        queries = running.prepared["queries"]
        costs: dict[str, list[Cost]] = {side: [] for side in SIDES}
        for number in range(rounds + 1):
            for side in SIDES:
                cost = _cost(running, requests.get(PATH, running.prepared["cookies"][side]))
                if number:  # the first round warms up
                    costs[side].append(cost)
    processor = [statistics.median(cost.processor for cost in costs[side]) for side in SIDES]
    waited = [statistics.median(cost.waited for cost in costs[side]) for side in SIDES]
    found = [
        figures.compared("pages.runs", *processor, unit="ms"),
        figures.Figure(name="pages.runs.first", value=round(processor[0], 3), unit="ms"),
        figures.compared("pages.runs.wall", *waited, unit="ms"),
        figures.compared("pages.runs.queries", *(queries[side] for side in SIDES), unit=""),
    ]
    report([figure for figure in found if figure.name in wanted])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of one answer."""

    processor: float
    waited: float


def _cost(running: site.Site, request: bytes) -> Cost:
    before, started = measuring.cpu_seconds(running.processes), time.perf_counter()
    rate = asyncio.run(load.rate(running.port, [lambda: request], seconds=SECONDS))
    answers = rate * (time.perf_counter() - started)
    used = measuring.cpu_seconds(running.processes) - before
    return Cost(processor=used / answers * 1000, waited=1000 / rate)
