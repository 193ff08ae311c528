"""A tool call through the whole ledger beside a plain REST framework view with the same insert.

The sides take turns in short rounds, so that a busy machine is as busy for each, and medians are compared.
"""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import figures, load, requests, site

CLIENTS = (1, 8, 32)
ROUNDS = 9
SECONDS = 1.0
SIDES: dict[str, Callable[[requests.Caller], requests.Next]] = {
    "plain": requests.Caller.plain,
    "call": requests.Caller.call,
    "replay": requests.Caller.replay,
}
TARGETS = {
    "ledger.calls.c1": figures.at_least(0.6),
    "ledger.calls.c8": figures.at_least(0.6),
    "ledger.calls.c32": figures.at_least(0.6),
    "ledger.replay": figures.at_least(0.9),
}


def run(folder: Path, _: frozenset[str], report: figures.Report) -> None:
    """Measure calls and replays, at every number of clients."""
    with site.running(folder, "tests.benchmarks.records", str(max(CLIENTS))) as running:
        queries = running.prepared["queries"].items()
        figures.show("queries: " + ", ".join(f"{count} {name}" for name, count in queries))
        callers = [requests.Caller(**caller) for caller in running.prepared["callers"]]
        medians = {clients: measure(running.port, callers[:clients]) for clients in CLIENTS}
    report(figures_of(medians))


def measure(port: int, callers: Sequence[requests.Caller]) -> dict[str, float]:
    """Return the median rate of every side with so many clients at once."""
    clients = {side: [start(caller) for caller in callers] for side, start in SIDES.items()}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(ROUNDS + 1):
        order = list(SIDES) if number % 2 else list(reversed(SIDES))
        for side in order:
            answered = asyncio.run(load.rate(port, clients[side], seconds=SECONDS))
            if number:  # the first round warms up
                rates[side].append(answered)
    medians = {side: statistics.median(each) for side, each in rates.items()}
    shown = ", ".join(f"{side} {median:.0f}/s" for side, median in medians.items())
    figures.show(f"{len(callers)} clients: {shown}")
    return medians


def figures_of(medians: dict[int, dict[str, float]]) -> list[figures.Figure]:
    """Return the figures; of replays the worst is kept, whatever the number of clients."""
    calls = [_figure(f"ledger.calls.c{clients}", "call", of) for clients, of in medians.items()]
    replays = [_figure("ledger.replay", "replay", of) for of in medians.values()]
    return [*calls, min(replays, key=lambda figure: figure.ratio)]


def _figure(name: str, side: str, medians: dict[str, float]) -> figures.Figure:
    return figures.compared(name, medians[side], medians["plain"], unit="1/s")
