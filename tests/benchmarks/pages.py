"""The page of runs for somebody who has ten thousand, beside the same page for somebody who has none.

Both are on the same database, so both pay for what is in it. What counts is the time of the processor, in
Django and in PostgreSQL: that is the server's own, however busy the machine is otherwise.
"""

import asyncio
import statistics
import time
from pathlib import Path

from tests.benchmarks import figures, load, measuring, requests, site

RUNS = 10_000
ROUNDS = 7
SECONDS = 1.0
PATH = "/agents/runs/"

TARGETS = {"pages.runs": None, "pages.runs.first": figures.at_most(50)}
"""The ratio is that of fifty rows to none; what the page may take is said in milliseconds."""


def run(folder: Path, wanted: frozenset[str], report: figures.Report, *, rounds: int = ROUNDS) -> None:
    """Measure what a page costs that one reader asks for again and again."""
    with site.running(folder, "tests.benchmarks.page_records", str(RUNS)) as running:
        queries = running.prepared["queries"].items()
        figures.show("queries: " + ", ".join(f"{count} with {name} list" for name, count in queries))
        costs: dict[str, list[float]] = {side: [] for side in running.prepared["cookies"]}
        for number in range(rounds + 1):
            for side, cookie in running.prepared["cookies"].items():
                cost = _cost(running, requests.get(PATH, cookie))
                if number:  # the first round warms up
                    costs[side].append(cost * 1000)
    full, empty = (statistics.median(costs[side]) for side in ("full", "empty"))
    found = [
        figures.compared("pages.runs", full, empty, unit="ms"),
        figures.Figure(name="pages.runs.first", value=round(full, 3), unit="ms"),
    ]
    report([figure for figure in found if figure.name in wanted])


def _cost(running: site.Site, request: bytes) -> float:
    """Return the seconds of the processor that one answer takes."""
    before, started = measuring.cpu_seconds(running.processes), time.perf_counter()
    rate = asyncio.run(load.rate(running.port, [lambda: request], seconds=SECONDS))
    answers = rate * (time.perf_counter() - started)
    return (measuring.cpu_seconds(running.processes) - before) / answers
