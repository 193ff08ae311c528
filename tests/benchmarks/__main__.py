"""`make bench`: a tool call through the whole ledger beside a plain REST framework view with the same insert.

The sides take turns in short rounds, so that a busy machine is as busy for each, and medians are compared.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stack import services
from tests.benchmarks import load, requests, site

FIGURES = services.ROOT / ".mandate" / "bench.json"
CLIENTS = (1, 8, 32)
SIDES: dict[str, Callable[[requests.Caller], requests.Next]] = {
    "plain": requests.Caller.plain,
    "call": requests.Caller.call,
    "replay": requests.Caller.replay,
}
FLOORS = {"call": 0.6, "replay": 0.9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result."""

    name: str
    value: float
    unit: str
    floor: float
    """Of the ratio."""

    ratio: float
    """To the plain view's rate in the same rounds."""

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.floor


def main() -> int:
    """Measure, print, keep the figures; 1 if one is below its floor."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of every side, at every number of clients")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a round takes")
    options = parser.parse_args()
    folder = services.ROOT / ".mandate" / f"bench-{os.getpid()}"
    with site.running(folder, clients=max(CLIENTS)) as running:
        show("queries: " + ", ".join(f"{n} {name}" for name, n in running.prepared["queries"].items()))
        callers = [requests.Caller(**caller) for caller in running.prepared["callers"]]
        medians = {
            clients: measure(running.port, callers[:clients], options.rounds, options.seconds)
            for clients in CLIENTS
        }
    figures = figures_of(medians)
    for figure in figures:
        verdict = "" if figure.is_met else "  TOO LOW"
        show(
            f"{figure.name:20} {figure.value:8.1f} {figure.unit}   "
            f"{figure.ratio:.2f} of the plain view, at least {figure.floor}{verdict}"
        )
    keep(figures)
    return 0 if all(figure.is_met for figure in figures) else 1


def measure(port: int, callers: Sequence[requests.Caller], rounds: int, seconds: float) -> dict[str, float]:
    """Return the median rate of every side with so many clients at once."""
    clients = {side: [start(caller) for caller in callers] for side, start in SIDES.items()}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds + 1):
        order = list(SIDES) if number % 2 else list(reversed(SIDES))
        for side in order:
            answered = asyncio.run(load.rate(port, clients[side], seconds=seconds))
            if number:  # the first round warms up
                rates[side].append(answered)
    medians = {side: statistics.median(each) for side, each in rates.items()}
    shown = ", ".join(f"{side} {median:.0f}/s" for side, median in medians.items())
    show(f"{len(callers)} clients: {shown}")
    return medians


def figures_of(medians: dict[int, dict[str, float]]) -> list[Figure]:
    """Return the figures; of replays the worst is kept, whatever the number of clients."""
    calls = [_figure(f"ledger.calls.c{clients}", "call", of) for clients, of in medians.items()]
    replays = [_figure("ledger.replay", "replay", of) for of in medians.values()]
    return [*calls, min(replays, key=lambda figure: figure.ratio)]


def keep(figures: Sequence[Figure], file: Path = FIGURES) -> None:
    """Write the figures among those of other benchmarks."""
    known = json.loads(file.read_text()) if file.exists() else []
    names = {figure.name for figure in figures}
    kept = [figure for figure in known if figure["name"] not in names]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([*kept, *map(asdict, figures)], indent=2) + "\n")


def show(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)  # noqa: T201 - it talks to a person on a terminal


def _figure(name: str, side: str, medians: dict[str, float]) -> Figure:
    ratio = round(medians[side] / medians["plain"], 3)
    return Figure(name=name, value=round(medians[side], 1), unit="1/s", floor=FLOORS[side], ratio=ratio)


if __name__ == "__main__":
    sys.exit(main())
