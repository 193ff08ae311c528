"""What needs no house, each in a process of its own: races, the attacker, any order of events, the client."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from stack import postgres, processes, pytest_postgres, services
from tests.chaos import oracle

PROMISES = "tests/django_app/mandate/test_promises.py"
CLIENT = "tests/agent_service/sdk"
PAGES = "tests/e2e/test_watching.py"
WATCHED_RUNS = 20
HANDED_ON = {"AGENT_ENVIRONMENT": "test", "AGENT_HAND_ON_STEPS": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of each."""

    trials: int
    sequences: int
    graphs: int
    examples: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suites:
    """Runs them one after the other on one server."""

    server: postgres.Server
    races_url: str
    logs: Path
    sizes: Sizes

    def races(self) -> Iterator[oracle.Verdict]:
        """Hold each race; its process prints a verdict as a line of JSON."""
        command = ("tests.chaos.race_process", str(self.sizes.trials), str(self.sizes.seed))
        for line in self._lines("races", *command, DATABASE_URL=self.races_url):
            yield oracle.Verdict(**json.loads(line))

    def attacks(self) -> Iterator[oracle.Verdict]:
        """Attack the tool API, and through a graph."""
        began = time.monotonic()
        sizes = ("--sequences", str(self.sizes.sequences), "--graphs", str(self.sizes.graphs))
        for line in self._lines("attacker", "tests.chaos.attacker", *sizes, "--seed", str(self.sizes.seed)):
            if line.startswith("{"):
                verdict = _attack_verdict(json.loads(line))
                verdict.seconds, began = round(time.monotonic() - began, 1), time.monotonic()
                yield verdict

    def promises(self) -> Iterator[oracle.Verdict]:
        """Hold any order of events against a model of the promises; a counterexample is in the log."""
        began = time.monotonic()
        verdict = oracle.Verdict(scenario="any order of events", seed=self.sizes.seed)
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            try:
                list(self._lines("promises", "pytest", "-q", "-n", "0", PROMISES, **self._examples(report)))
                seen = json.loads(report.read_text())
                verdict.runs, verdict.effects = seen["runs"], seen["effects"]
            except processes.ProcessError as failure:
                verdict.lost = 1
                verdict.notes.append(f"a counterexample: {failure}")
        verdict.seconds = round(time.monotonic() - began, 1)
        yield verdict

    def handed_on(self) -> Iterator[oracle.Verdict]:
        """Drive the agent service with the official client, each run handed on after every superstep."""
        name = "official client: handed on after every superstep"
        yield self._tests("handed-on", name, "-p", "no:randomly", CLIENT, **HANDED_ON)

    def watching(self) -> Iterator[oracle.Verdict]:
        """Have two hundred pages watch runs at once."""
        watched = {"WATCHED_RUNS": str(WATCHED_RUNS)}
        yield self._tests("watching", f"{10 * WATCHED_RUNS} pages that watch at once", PAGES, **watched)

    def _tests(self, log: str, scenario: str, *arguments: str, **environment: str) -> oracle.Verdict:
        """Run tests; each that fails counts as stuck."""
        began = time.monotonic()
        verdict = oracle.Verdict(scenario=scenario, seed=self.sizes.seed)
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.xml")
            command = ("pytest", "-q", "-n", "0", f"--junitxml={report}", *arguments)
            with contextlib.suppress(processes.ProcessError):
                list(self._lines(log, *command, **environment))
            cases = list(ET.parse(report).iter("testcase"))
        failed = [
            case for case in cases if case.find("failure") is not None or case.find("error") is not None
        ]
        verdict.runs, verdict.stuck = len(cases), len(failed)
        verdict.notes += [f"{case.get('classname')} {case.get('name')}" for case in failed]
        verdict.seconds = round(time.monotonic() - began, 1)
        return verdict

    def _examples(self, report: Path) -> dict[str, str]:
        return {
            "PROMISES_EXAMPLES": str(self.sizes.examples),
            "PROMISES_SEED": str(self.sizes.seed),
            "PROMISES_REPORT": str(report),
        }

    def _lines(self, name: str, *command: str, **more: str) -> Iterator[str]:
        """Yield what a module prints; what it says beside that is in its log."""
        with (
            (self.logs / f"{name}.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", *command],
                # Suites of two lanes run at one time.
                env=self._env() | {pytest_postgres.NAME: name.replace("-", "_")} | more,
                cwd=services.ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            with _ended_with_us(process):
                for line in process.stdout:
                    log.write(line)
                    yield line
        if process.returncode:
            raise processes.ProcessError(f"{name} exited with {process.returncode}; see {log.name}")

    def _env(self) -> Mapping[str, str]:
        path = filter(None, (str(services.ROOT), str(services.DJANGO_APP), os.environ.get("PYTHONPATH")))
        return os.environ | {
            pytest_postgres.VARIABLE: self.server.admin_url("postgres"),
            "DJANGO_SETTINGS_MODULE": "config.settings_test",
            "PYTHONPATH": os.pathsep.join(path),
        }


@contextlib.contextmanager
def _ended_with_us(process: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.terminate()
        raise


def _attack_verdict(figures: dict[str, int]) -> oracle.Verdict:
    """Sort an attack's faults under the names of the table; the attacker's own are in the figures."""
    verdict = oracle.Verdict(
        scenario=str(figures["scenario"]),
        seed=figures["seed"],
        runs=figures["runs"],
        effects=figures["effects"],
        duplicated=figures["ledger"],
        stuck=figures["answer"],
        unapproved=figures["outside"] + figures["overspent"] + figures["unapproved"],
        after_cancel=figures["after_cancel"],
    )
    verdict.figures = {name: figures[name] for name in ("outside", "ledger", "overspent", "answer")}
    return verdict
