"""The whole crash matrix and all races: `make chaos`. Prints a table and writes `.mandate/chaos.json`."""

# ruff: noqa: T201 - it talks to a person

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stack import postgres, processes, services
from tests.chaos import house, oracle, points, scenarios

FOLDER = services.ROOT / ".mandate" / "chaos"
REPORT = services.ROOT / ".mandate" / "chaos.json"
DATABASES = ("chaos", "chaos_agent", "chaos_races")

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
        with _server() as server, _log_folder() as logs:
            for verdict in _verdicts(options, server, logs):
                verdicts.append(verdict)
                _show(verdict)
                _write(verdicts)
    except (processes.ProcessError, postgres.PostgresError) as error:
        print(f"chaos: failed: {error}", file=sys.stderr)
        return 1
    return _conclude(verdicts)


def _verdicts(options: argparse.Namespace, server: postgres.Server, logs: Path) -> Iterator[oracle.Verdict]:
    chosen = [point for point in points.MATRIX if any(part in point.name for part in options.only)]
    addresses = house.Addresses(django=server.url("chaos"), agent=server.url("chaos_agent"))
    with house.opened(addresses, logs) as inside:
        for point in chosen:
            yield scenarios.crash(inside, point, runs=options.runs, seed=options.seed)
        if any(part in "race" for part in options.only):
            yield scenarios.sleepers(inside, trials=options.trials, seed=options.seed)
    if any(part in "race" for part in options.only):
        yield from _races(options, server.url("chaos_races"))


def _races(options: argparse.Namespace, database_url: str) -> Iterator[oracle.Verdict]:
    """Hold Django's races in a process of their own, whose settings name their database."""
    command = [sys.executable, "-m", "tests.chaos.race_process", str(options.trials), str(options.seed)]
    path = filter(None, (str(services.ROOT), str(services.DJANGO_APP), os.environ.get("PYTHONPATH")))
    env = os.environ | {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "config.settings_test",
        "PYTHONPATH": os.pathsep.join(path),
    }
    with subprocess.Popen(command, env=env, cwd=services.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield oracle.Verdict(**json.loads(line))
    if process.returncode:
        raise processes.ProcessError(f"the races exited with {process.returncode}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("only", nargs="*", default=[""], help="parts of points' names, or 'race'")
    parser.add_argument("--runs", type=int, default=20, help="of each point")
    parser.add_argument("--trials", type=int, default=500, help="of each race")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    return parser.parse_args()


@contextlib.contextmanager
def _server() -> Iterator[postgres.Server]:
    folder = FOLDER / "postgres"
    postgres.remove(folder)
    server = postgres.start(folder, durable=False)
    try:
        for name in DATABASES:
            server.create(name)
        yield server
    finally:
        server.remove()


@contextlib.contextmanager
def _log_folder() -> Iterator[Path]:
    folder = FOLDER / "logs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


def _show(verdict: oracle.Verdict) -> None:
    figures = "".join(f"{getattr(verdict, name):>13}" for name in HEAD)
    print(f"{verdict.scenario:<{WIDTH}}{figures}", flush=True)
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
