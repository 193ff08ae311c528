"""Both sides as processes, on a database each, with the scripted model server as the provider."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from psycopg import conninfo

from shared_schemas import keys
from stack import processes, pytest_postgres, services
from tests.e2e import person, proxy

QUICK = {"AGENT_HEARTBEAT_TIMEOUT": "2"}


@dataclass(slots=True, kw_only=True)
class Stack:
    """A running stack whose parts can be killed and started again."""

    layout: services.Layout
    log_folder: object
    proxy: proxy.Proxy
    running: dict[str, processes.Process]
    person_token: str = ""

    def start(self, name: str) -> None:
        commands = {
            "model": (services.model_server(self.layout.model_port), None, f"{self.model_url}/v1/models"),
            "django": (services.django(self.layout), services.DJANGO_APP, f"{self.layout.django_url}/ok"),
            "dispatcher": (services.manage("mandate_dispatcher"), services.DJANGO_APP, None),
            "agent": (services.agent("serve", "--no-worker"), services.ROOT, f"{self.layout.agent_url}/ok"),
            "worker": (services.agent("worker"), services.ROOT, None),
        }
        command, folder, ready = commands[name]
        env = self.layout.django_env() if folder == services.DJANGO_APP else self.agent_env()
        self.running[name] = processes.start(
            name, command, env=env, cwd=folder or services.ROOT, log_folder=self.log_folder
        )
        if ready:
            processes.wait_until_ready(self.running[name], ready)

    def agent_env(self) -> dict[str, str]:
        """The agent service reaches Django through the proxy."""
        return self.layout.agent_env() | {"AGENT_DJANGO_URL": f"http://127.0.0.1:{self.proxy.port}"}

    @property
    def model_url(self) -> str:
        return f"http://127.0.0.1:{self.layout.model_port}"

    def kill(self, name: str) -> None:
        processes.kill(self.running.pop(name))

    def stop(self, *names: str) -> None:
        processes.stop(*(self.running.pop(name) for name in names))

    def query(self, sql: str, *arguments: object) -> list[tuple[object, ...]]:
        """Read Django's database from outside."""
        with psycopg.connect(self.layout.database_url) as connection:
            return connection.execute(sql, arguments).fetchall()

    def manage(self, *arguments: str, **env: str) -> str:
        """Run a command of Django and return what it prints."""
        return self._run(arguments[0], services.manage(*arguments), self.layout.django_env() | env)

    def migrate_agent(self) -> None:
        self._run("agent-migrate", services.agent("migrate"), self.agent_env())

    def drop_agent_database(self) -> str:
        """Drop it with everything in it, and return its name."""
        name = str(conninfo.conninfo_to_dict(self.layout.agent_database_url)["dbname"])
        with _admin() as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        return name

    def make_agent_database(self, name: str) -> None:
        with _admin() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        self.migrate_agent()

    def _run(self, name: str, command: list[str], env: Mapping[str, str]) -> str:
        folder = services.DJANGO_APP if command[1] == "manage.py" else services.ROOT
        return processes.run(name, command, env=env, cwd=folder, log_folder=self.log_folder)

    def logs(self) -> str:
        return "\n\n".join(f"--- {name}\n{process.tail()}" for name, process in self.running.items())


@pytest.fixture(scope="package")
def stack(tmp_path_factory) -> Iterator[Stack]:
    log_folder = tmp_path_factory.mktemp("logs")
    with contextlib.ExitStack() as undo:
        urls = [undo.enter_context(_database(name)) for name in ("e2e_django", "e2e_agent")]
        layout = services.Layout(
            database_url=urls[0],
            agent_database_url=urls[1],
            django_port=processes.free_port(),
            agent_port=processes.free_port(),
            model_port=processes.free_port(),
            secrets=services.Secrets(
                django_secret_key=secrets.token_urlsafe(50),
                django_signing_key=keys.generate(),
                agent_signing_key=keys.generate(),
            ),
            providers=("OPENAI",),
            agent_options=QUICK,
        )
        passing = proxy.Proxy(layout.django_port)
        passing.start()
        undo.callback(passing.stop)
        made = Stack(layout=layout, log_folder=log_folder, proxy=passing, running={})
        undo.callback(lambda: processes.stop(*made.running.values()))
        made.person_token = _prepare(made)
        for name in ("model", "django", "dispatcher", "agent", "worker"):
            made.start(name)
        yield made


@pytest.fixture
def author(stack) -> Iterator[person.Person]:
    """A person who may publish tasks."""
    with httpx.Client(base_url=stack.layout.django_url, timeout=60) as http:
        http.headers["Authorization"] = f"Token {stack.person_token}"
        yield person.Person(http=http)


@contextlib.contextmanager
def _database(name: str) -> Iterator[str]:
    unique = f"{name}_{os.getpid()}"
    with _admin() as connection:
        connection.execute(f'CREATE DATABASE "{unique}"')
        yield pytest_postgres.on_same_server(os.environ[pytest_postgres.VARIABLE], unique)
        connection.execute(f'DROP DATABASE "{unique}" WITH (FORCE)')


def _admin() -> psycopg.Connection:
    return psycopg.connect(os.environ[pytest_postgres.VARIABLE], autocommit=True)


def _prepare(stack: Stack) -> str:
    """Migrate, load the lessons, make a person; return the person's token."""
    user = {
        "DJANGO_SUPERUSER_USERNAME": "author",
        "DJANGO_SUPERUSER_EMAIL": "author@example.org",
        "DJANGO_SUPERUSER_PASSWORD": secrets.token_urlsafe(),
    }
    stack.migrate_agent()
    stack.manage("migrate", "--verbosity", "0")
    stack.manage("load_lessons")
    stack.manage("createsuperuser", "--noinput", **user)
    return stack.manage("drf_create_token", "author").split()[2]
