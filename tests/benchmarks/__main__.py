"""`make bench`: this project beside what it is held against, both in turn on the same machine.

`python -m tests.benchmarks runs.cpu stream` measures the figures whose names begin so.
"""

import argparse
import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stack import services
from tests.benchmarks import engine, figures, ledger, pages

Run = Callable[[Path, frozenset[str], figures.Report], None]

SUBJECTS: Sequence[tuple[dict[str, figures.Target | None], Run]] = (
    (ledger.TARGETS, ledger.run),
    (pages.TARGETS, pages.run),
    (engine.TARGETS, engine.run),
)


def main() -> int:
    """Measure, print, keep the figures; 1 if one misses its target."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=[""], help="beginnings of figures' names")
    options = parser.parse_args()
    # What was started is stopped however the measurement is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = services.ROOT / ".mandate" / f"bench-{os.getpid()}"
    missed: list[str] = []
    for targets, run in SUBJECTS:
        wanted = frozenset(name for name in targets if name.startswith(tuple(options.names)))
        if wanted:
            run(folder, wanted, functools.partial(_report, targets, missed))
    return 1 if missed else 0


def _report(
    targets: dict[str, figures.Target | None], missed: list[str], found: Sequence[figures.Figure]
) -> None:
    for figure in found:
        target = targets[figure.name]
        figures.show(figures.line(figure, target))
        if target is not None and not target.is_met_by(figure):
            missed.append(figure.name)
    figures.keep(found)


if __name__ == "__main__":
    sys.exit(main())
