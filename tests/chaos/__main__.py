"""Everything that must never break, whole: `make chaos`. Prints a table and writes `.mandate/chaos.json`."""

# ruff: noqa: T201 - it talks to a person

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stack import postgres, processes, services
from tests.chaos import house, lanes, oracle, points, scenarios, storm, suites

FOLDER = services.ROOT / ".mandate" / "chaos"
REPORT = services.ROOT / ".mandate" / "chaos.json"
HOUSES = ("house_1", "house_2")
"""Two stand side by side, since what happens in them is mostly waiting."""

RACES = "chaos_races"

HEAD = ("runs", "crashes", "effects", "lost", "duplicated", "stuck", "unapproved", "after_cancel", "seconds")
WIDTH = 58
SHOWN = 3
"""Notes of a scenario; all are in the report."""


def main() -> int:
    options = _options()
    print(f"seed {options.seed}; the same seed chooses the same passages and moments")
    print(f"{'scenario':<{WIDTH}}" + "".join(f"{name:>13}" for name in HEAD), flush=True)
    verdicts = []
    try:
        with _log_folder() as logs:
            for verdict in _verdicts(options, logs):
                verdicts.append(verdict)
                _show(verdict)
                _write(verdicts)
    except (processes.ProcessError, postgres.PostgresError) as error:
        print(f"chaos: failed: {error}", file=sys.stderr)
        return 1
    return _conclude(verdicts)


def _verdicts(options: argparse.Namespace, logs: Path) -> Iterator[oracle.Verdict]:
    with _server("postgres", durable=False) as server:
        yield from lanes.side_by_side(*_lanes(options, server, logs))
    if _is_chosen(options, "storm"):
        with _server("storm", durable=True) as server:
            folder = _made(logs / "storm")
            addresses = _addresses(server, "storm")
            yield storm.rage(
                server, addresses, folder, runs=options.storm, kills=options.kills, seed=options.seed
            )


def _lanes(options: argparse.Namespace, server: postgres.Server, logs: Path) -> Sequence[lanes.Lane]:
    chosen = [point for point in points.MATRIX if _is_chosen(options, point.name)]
    todo = lanes.Todo([scenarios.crashing(point, runs=options.runs, seed=options.seed) for point in chosen])
    if _is_chosen(options, "race: a worker stopped past its lease"):
        todo.append(lambda inside: scenarios.sleepers(inside, trials=options.trials, seed=options.seed))
    houses = [lanes.in_house(_addresses(server, name), _made(logs / name), todo) for name in HOUSES if todo]
    server.create(RACES)
    held = suites.Suites(
        server=server,
        logs=logs,
        races_url=server.url(RACES),
        sizes=suites.Sizes(
            trials=options.trials,
            sequences=options.sequences,
            graphs=options.graphs,
            examples=options.examples,
            seed=options.seed,
        ),
    )
    beside = [[held.attacks], [held.races, held.promises, held.handed_on, held.watching]]
    chosen_beside = [[suite for suite in lane if _is_chosen(options, suite.__name__)] for lane in beside]
    return [*houses, *(lanes.in_turn(suites) for suites in chosen_beside)]


def _is_chosen(options: argparse.Namespace, name: str) -> bool:
    return not options.only or any(part in name for part in options.only)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "only",
        nargs="*",
        help="parts of points' names, or 'race', 'attacks', 'promises', 'handed_on', 'watching', 'storm'",
    )
    for name, default, text in (
        ("runs", 20, "of each point"),
        ("trials", 500, "of each race"),
        ("sequences", 2000, "of the attacker against the tool API"),
        ("graphs", 100, "that the attacker leads"),
        ("examples", 120, "of any order of events"),
        ("storm", 500, "runs in the storm"),
        ("kills", 100, "of workers in the storm"),
        ("seed", random.SystemRandom().randrange(10**6), "of everything"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=text)
    return parser.parse_args()


@contextlib.contextmanager
def _server(name: str, *, durable: bool) -> Iterator[postgres.Server]:
    folder = FOLDER / name
    postgres.remove(folder)
    server = postgres.start(folder, durable=durable)
    try:
        yield server
    finally:
        server.remove()


def _addresses(server: postgres.Server, name: str) -> house.Addresses:
    both = (name, f"{name}_agent")
    for database in both:
        server.create(database)
    return house.Addresses(django=server.url(both[0]), agent=server.url(both[1]))


@contextlib.contextmanager
def _log_folder() -> Iterator[Path]:
    folder = FOLDER / "logs"
    shutil.rmtree(folder, ignore_errors=True)
    yield _made(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _show(verdict: oracle.Verdict) -> None:
    figures = "".join(f"{getattr(verdict, name):>13}" for name in HEAD)
    print(f"{verdict.scenario:<{WIDTH}}{figures}", flush=True)
    if verdict.figures:
        print("  " + ", ".join(f"{name} {figure}" for name, figure in verdict.figures.items()), flush=True)
    for note in verdict.notes[:SHOWN]:
        print(f"  {note}", flush=True)


def _write(verdicts: list[oracle.Verdict]) -> None:
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps([verdict.as_json() for verdict in verdicts], indent=2) + "\n")


def _conclude(verdicts: list[oracle.Verdict]) -> int:
    """Say what it comes to; a point at which nothing died has proven nothing."""
    bad = [verdict.scenario for verdict in verdicts if not verdict.is_clean]
    idle = [
        verdict.scenario for verdict in verdicts if verdict.scenario in points.BY_NAME and not verdict.crashes
    ]
    runs, crashes, effects = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("runs", "crashes", "effects")
    )
    print(f"{len(verdicts)} scenarios, {runs} runs and trials, {crashes} crashes, {effects} effects")
    if bad or idle:
        print(f"broken promises: {bad or 'none'}; nothing died at: {idle or 'none'}")
        print(f"the processes' logs are in {os.path.relpath(FOLDER / 'logs')}")
        return 1
    print("nothing lost, nothing twice, nothing stuck, nothing without approval, nothing after a cancel")
    return 0


if __name__ == "__main__":
    # So that an end from outside stops what was started, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    status = main()
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(status)
