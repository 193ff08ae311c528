"""Both sides as processes that are started again when they die, as a supervisor would."""

import contextlib
import os
import random
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from shared_schemas import keys
from stack import processes, services
from tests.chaos import points

AGENT_OPTIONS = {
    "AGENT_ENVIRONMENT": "test",
    "AGENT_HEARTBEAT_TIMEOUT": "2",
    # A run meets more deaths here than in a year; that it is given up after three is tested elsewhere.
    "AGENT_MAX_ATTEMPTS": "100",
}
LOGIN = "judge"
AGENT = "chaos"
NAMES = (*points.DJANGO, *points.DISPATCHER, *points.AGENT, *points.WORKERS)


@dataclass(slots=True, kw_only=True)
class House:
    """The running processes, and which point the next one started of each dies at."""

    layout: services.Layout
    log_folder: Path
    token: str = ""
    running: dict[str, processes.Process] = field(default_factory=dict)
    armed: dict[str, str] = field(default_factory=dict)
    crashes: int = 0
    """Processes found dead by SIGKILL since the last `arm`."""

    wanted: int = 0
    point: points.Point | None = None
    dice: random.Random = field(default_factory=random.Random)

    def start(self, name: str) -> None:
        command, cwd = {
            "django": (services.django(self.layout), services.DJANGO_APP),
            "dispatcher": (services.manage("mandate_dispatcher"), services.DJANGO_APP),
            "agent": (services.agent("serve", "--no-worker"), services.ROOT),
        }.get(name, (services.agent("worker"), services.ROOT))
        env = self.django_env() if cwd == services.DJANGO_APP else self.agent_env()
        variable = "MANDATE_CRASH_POINTS" if cwd == services.DJANGO_APP else "AGENT_CRASH_POINTS"
        self.running[name] = processes.start(
            name, command, env=env | {variable: self._chosen(name)}, cwd=cwd, log_folder=self.log_folder
        )

    def open(self) -> None:
        """Start everything that does not run, and wait for those that answer."""
        for name in NAMES:
            if name not in self.running:
                self.start(name)
        for name, url in (("django", self.layout.django_url), ("agent", self.layout.agent_url)):
            processes.wait_until_ready(self.running[name], f"{url}/ok")

    def arm(self, point: points.Point | None, *, crashes: int, dice: random.Random) -> None:
        """Have the processes of a point die there, so often in all; the others are sound."""
        stale = {*(self.point.processes if self.point else ()), *(point.processes if point else ())}
        self.point, self.wanted, self.crashes, self.dice = point, crashes, 0, dice
        for name in sorted(stale):
            processes.kill(self.running.pop(name))
        self.open()

    def tend(self) -> None:
        """Start again what has died."""
        for name, process in list(self.running.items()):
            if process.running() is None:
                assert process.child is not None
                self.crashes += process.child.wait() == -signal.SIGKILL
                self.start(name)

    def drain(self, name: str) -> None:
        """Tell a process to stop, as a deploy would."""
        if found := self.running[name].running():
            found.send_signal(signal.SIGTERM)

    def pid(self, name: str) -> int:
        return self.running[name].pid

    def send(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def close(self) -> None:
        for process in self.running.values():
            processes.kill(process)
        self.running.clear()

    def django_env(self) -> dict[str, str]:
        return self.layout.django_env() | {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings"} | _path()

    def agent_env(self) -> dict[str, str]:
        return self.layout.agent_env() | _path()

    def prepare(self) -> None:
        """Migrate both sides, make the agent, and a person who may decide."""
        person = {
            "DJANGO_SUPERUSER_USERNAME": LOGIN,
            "DJANGO_SUPERUSER_EMAIL": "judge@example.org",
            "DJANGO_SUPERUSER_PASSWORD": secrets.token_urlsafe(),
        }
        self._run("agent-migrate", services.agent("migrate"), self.agent_env())
        self._manage("migrate", "--run-syncdb", "--verbosity", "0")
        tools = ("--tools", "make_mark", "seal_mark")
        self._manage("mandate_agent", AGENT, "--graph", "chaos", "--model", "gpt-5-mini", *tools)
        self._manage("createsuperuser", "--noinput", **person)
        self.token = self._manage("drf_create_token", LOGIN).split()[2]

    def _manage(self, *arguments: str, **env: str) -> str:
        return self._run(arguments[0], services.manage(*arguments), self.django_env() | env)

    def _run(self, name: str, command: list[str], env: Mapping[str, str]) -> str:
        cwd = services.DJANGO_APP if command[1] == "manage.py" else services.ROOT
        return processes.run(name, command, env=env, cwd=cwd, log_folder=self.log_folder)

    def _chosen(self, name: str) -> str:
        if self.point is None or name not in self.point.processes or self.crashes >= self.wanted:
            return ""
        return f"{self.point.name}:{self.dice.randint(1, self.point.latest)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Of the two databases."""

    django: str
    agent: str


@contextlib.contextmanager
def opened(addresses: Addresses, log_folder: Path) -> Iterator[House]:
    """Prepare both databases and run both sides on them."""
    layout = services.Layout(
        database_url=addresses.django,
        agent_database_url=addresses.agent,
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=processes.free_port(),
        secrets=services.Secrets(
            django_secret_key=secrets.token_urlsafe(50),
            django_signing_key=keys.generate(),
            agent_signing_key=keys.generate(),
        ),
        graphs=str(Path(__file__).with_name("langgraph.json")),
        agent_options=AGENT_OPTIONS,
    )
    house = House(layout=layout, log_folder=log_folder)
    house.prepare()
    try:
        house.open()
        yield house
    finally:
        house.close()


@contextlib.contextmanager
def connected(house: House) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Yield connections to both databases, from outside of both sides."""
    with (
        psycopg.connect(house.layout.database_url, autocommit=True) as django,
        psycopg.connect(house.layout.agent_database_url, autocommit=True) as agent,
    ):
        yield django, agent


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(services.ROOT), os.environ.get("PYTHONPATH"))))}
