"""Both sides as processes that are started again when they die, as a supervisor would."""

import contextlib
import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from shared_schemas import keys
from stack import processes, services
from tests import nursery
from tests.chaos import points

AGENT_OPTIONS = {
    "AGENT_ENVIRONMENT": "test",
    # A run meets more deaths here than in a year; that it is given up after three is tested elsewhere.
    "AGENT_MAX_ATTEMPTS": "100",
    "AGENT_POOL_MAX_SIZE": "10",
}
QUICK = {"AGENT_HEARTBEAT_TIMEOUT": "2"}
"""For scenarios that wait for many takeovers, and do not ask how long one takes."""

AWAY_AT_MOST = 60.0
"""Seconds."""

LOGIN = "judge"
AGENT = "chaos"


class HouseClosedError(Exception):
    """Somebody ends the tests."""


@dataclass(slots=True, kw_only=True)
class House:
    """The running processes, and which point the next one started of each dies at."""

    layout: services.Layout
    log_folder: Path
    replicas: Mapping[str, int] = field(default_factory=dict)
    """The port of each process that answers LangGraph's API."""

    workers: tuple[str, ...] = points.WORKERS
    is_closing: threading.Event = field(default_factory=threading.Event)
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
        }.get(name.partition("-")[0], (services.agent("worker"), services.ROOT))
        env = self.django_env() if cwd == services.DJANGO_APP else self.agent_env()
        if name in self.replicas:
            env |= {"AGENT_PORT": str(self.replicas[name])}
        variable = "MANDATE_CRASH_POINTS" if cwd == services.DJANGO_APP else "AGENT_CRASH_POINTS"
        self.running[name] = nursery.start(
            name, command, env=env | {variable: self._chosen(name)}, cwd=cwd, log_folder=self.log_folder
        )

    def open(self) -> None:
        """Start everything that does not run, and wait for those that answer."""
        for name in (*points.DJANGO, *points.DISPATCHER, *self.replicas, *self.workers):
            if name not in self.running:
                self.start(name)
        ports = {"django": self.layout.django_port, **self.replicas}
        for name, port in ports.items():
            processes.wait_until_ready(self.running[name], f"http://127.0.0.1:{port}/ok", within=120)

    def arm(self, point: points.Point | None, *, crashes: int, dice: random.Random) -> None:
        """Have the processes of a point die there, so often in all; the others are sound."""
        stale = {*(self.point.processes if self.point else ()), *(point.processes if point else ())}
        self.point, self.wanted, self.crashes, self.dice = point, crashes, 0, dice
        for name in sorted(stale):
            processes.kill(self.running.pop(name))
        self.open()

    def tend(self) -> None:
        """Start again what has died.

        Raises:
            HouseClosedError: there is no use in it any more.
        """
        if self.is_closing.is_set():
            raise HouseClosedError
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
def opened(
    addresses: Addresses, log_folder: Path, is_closing: threading.Event | None = None
) -> Iterator[House]:
    """Prepare both databases and run both sides on them, with one replica and two workers."""
    port = processes.free_port()
    layout = make_layout(addresses, django_port=processes.free_port(), agent_port=port, options=QUICK)
    house = House(
        layout=layout,
        log_folder=log_folder,
        replicas=dict.fromkeys(points.AGENT, port),
        is_closing=is_closing or threading.Event(),
    )
    with living(house):
        yield house


@contextlib.contextmanager
def living(house: House) -> Iterator[None]:
    """Have both sides run for as long as the block lasts."""
    house.prepare()
    try:
        house.open()
        yield
    finally:
        house.close()


def make_layout(
    addresses: Addresses, *, django_port: int, agent_port: int, options: Mapping[str, str]
) -> services.Layout:
    """Return where everything is; `agent_port` is the one that Django speaks to."""
    return services.Layout(
        database_url=addresses.django,
        agent_database_url=addresses.agent,
        django_port=django_port,
        agent_port=agent_port,
        model_port=processes.free_port(),
        secrets=services.Secrets(
            django_secret_key=secrets.token_urlsafe(50),
            django_signing_key=keys.generate(),
            agent_signing_key=keys.generate(),
        ),
        # Of the others a process that starts would import the clients, for seconds.
        providers=("OPENAI",),
        graphs=str(Path(__file__).with_name("langgraph.json")),
        agent_options={**AGENT_OPTIONS, **options},
    )


@contextlib.contextmanager
def connected(house: House) -> Iterator[tuple["Database", "Database"]]:
    """Yield both databases, from outside of both sides."""
    with (
        contextlib.closing(Database(house.layout.database_url)) as django,
        contextlib.closing(Database(house.layout.agent_database_url)) as agent,
    ):
        yield django, agent


class Database:
    """Statements that wait while PostgreSQL is away. Each is done at least once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None

    def execute(self, statement: str, values: Sequence[object] = ()) -> psycopg.Cursor:
        deadline = time.monotonic() + AWAY_AT_MOST
        while True:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._url, autocommit=True)
                return self._connection.execute(statement, values or None)
            except psycopg.OperationalError:
                self.close()
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(services.ROOT), os.environ.get("PYTHONPATH"))))}
