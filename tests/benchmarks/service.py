"""What is measured: one API and one worker on a PostgreSQL that forgets nothing, and the floor beside them."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from shared_schemas import keys, tokens
from stack import postgres, processes, services
from tests.benchmarks import measuring

GRAPHS = Path(__file__).with_name("langgraph.json")
CONCURRENCY = "2000"

LONGEST = 120
"""Seconds that runs may take that are waited for."""

DATABASES = ("agent", "floor")


@dataclass(slots=True, kw_only=True)
class Floor:
    """The process that runs graphs without us."""

    process: "subprocess.Popen[str]"

    def run(self, graph: str, count: int, **options: Any) -> dict[str, Any]:
        """Let it run a graph so many times."""
        task = {"graph": graph, "count": count, "at_once": 1} | options
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the floor has ended; its log says why"
        return json.loads(line)


@dataclass(slots=True, kw_only=True)
class System:
    """Everything that runs while the engine is measured."""

    layout: services.Layout
    server: postgres.Server
    folder: Path
    floor: Floor
    django_key: keys.SigningKey
    api: processes.Process
    rounds: int
    """Turns of each side."""

    worker: processes.Process | None = None

    def token(self) -> str:
        """Sign a token that a person's client would have."""
        return tokens.issue(
            self.django_key,
            typ=tokens.TokenType.USER,
            issuer=tokens.DJANGO,
            audience=tokens.AGENT_SERVICE,
            subject="benchmark",
            token_id=str(uuid.uuid4()),
            scopes=frozenset({tokens.Scope.RUNS_READ, tokens.Scope.RUNS_WRITE}),
        )

    @contextlib.contextmanager
    def working(self, **options: str) -> Iterator[processes.Process]:
        """Start a worker."""
        env = environment(self.layout) | options
        worker = processes.start(
            "worker", services.agent("worker"), env=env, cwd=services.ROOT, log_folder=self.folder
        )
        self.worker = worker
        try:
            self._wait_for_listeners()
            yield worker
        finally:
            processes.stop(worker)
            self.worker = None

    def ours(self) -> list[int]:
        """Return the processes of the service."""
        return [process.pid for process in (self.api, self.worker) if process]

    def cpu(self) -> float:
        """Return the seconds that the service, the floor and PostgreSQL have used."""
        return measuring.cpu_seconds([*self.ours(), self.floor.process.pid, self._postmaster()])

    @contextlib.contextmanager
    def connection(self, database: str = "agent") -> Iterator[psycopg.Connection]:
        """Look into a database."""
        with psycopg.connect(self.server.url(database), autocommit=True) as connection:
            yield connection

    def connections(self) -> int:
        """Return how many connections there are to the service's database."""
        with self.connection() as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'agent' AND pid <> pg_backend_pid()"
            )
            return connection.execute(query).fetchone()[0]

    def wait_until_done(self) -> None:
        """Return when no run is waiting or running."""
        deadline = time.monotonic() + LONGEST
        with self.connection() as connection:
            while connection.execute(
                "SELECT EXISTS (SELECT FROM runs WHERE status IN ('pending', 'running'))"
            ).fetchone()[0]:
                assert time.monotonic() < deadline, f"runs do not end:\n{self.worker and self.worker.tail()}"
                time.sleep(0.02)

    def _wait_for_listeners(self) -> None:
        # The API's listens on the same channels.
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'agent' AND query LIKE 'LISTEN%%'"
        with self.connection() as connection:
            while connection.execute(query).fetchone()[0] < 2:
                time.sleep(0.05)

    def _postmaster(self) -> int:
        return int((self.server.data / "postmaster.pid").read_text().splitlines()[0])


@contextlib.contextmanager
def running(folder: Path, *, rounds: int) -> Iterator[System]:
    """Start everything but the worker in a folder of its own, and leave nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = postgres.start(folder / "postgres")
        undo.callback(server.remove)
        for name in DATABASES:
            server.create(name)
        django_key = keys.generate()
        layout = _layout(server, django_key)
        env = environment(layout)
        processes.run("migrate", services.agent("migrate"), env=env, cwd=services.ROOT, log_folder=folder)
        api = processes.start(
            "api", services.agent("serve", "--no-worker"), env=env, cwd=services.ROOT, log_folder=folder
        )
        undo.callback(processes.stop, api)
        processes.wait_until_ready(api, f"{layout.agent_url}/ok")
        yield System(
            layout=layout,
            server=server,
            folder=folder,
            floor=undo.enter_context(_floor(server, folder)),
            django_key=keys.parse_signing(django_key),
            api=api,
            rounds=rounds,
        )


def environment(layout: services.Layout) -> Mapping[str, str]:
    """Return what a process of the service is given."""
    inherited = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return inherited | layout.agent_env() | {"AGENT_LOG_LEVEL": "INFO"}


@contextlib.contextmanager
def plain_endpoint(system: System) -> Iterator[int]:
    """Start the endpoint that a submission is held against, and give its port."""
    port = processes.free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.plain_insert:app", "--port", str(port)]
    env = environment(system.layout) | {"PLAIN_DATABASE_URL": system.server.url("floor")}
    plain = processes.start(
        "plain", [*command, "--no-access-log"], env=env, cwd=services.ROOT, log_folder=system.folder
    )
    try:
        processes.wait_until_ready(plain, f"http://127.0.0.1:{port}/docs")
        yield port
    finally:
        processes.stop(plain)


@contextlib.contextmanager
def _floor(server: postgres.Server, folder: Path) -> Iterator[Floor]:
    command = [sys.executable, "-m", "tests.benchmarks.floor", server.url("floor")]
    with (
        (folder / "floor.log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=services.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Floor(process=process)


def _layout(server: postgres.Server, django_key: str) -> services.Layout:
    return services.Layout(
        database_url="",
        agent_database_url=server.url("agent"),
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=None,
        secrets=services.Secrets(
            django_secret_key=secrets.token_urlsafe(50),
            django_signing_key=django_key,
            agent_signing_key=keys.generate(),
        ),
        graphs=str(GRAPHS),
        agent_options={"AGENT_CONCURRENCY": CONCURRENCY},
    )
