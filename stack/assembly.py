"""Puts a stack together: databases, migrations, data, a login, and the services in their order."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stack import interrupts, postgres, processes, services, state

Say = Callable[[str], None]
"""Tells the person at the terminal what happens."""

DATABASES = ("mandate", "mandate_agent")


class StackError(Exception):
    """The stack cannot be started as asked; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The addresses of the two databases."""

    django: str
    agent: str


def open_databases(folder: state.Folder, say: Say) -> Databases:
    """Return the databases that the environment names, or those of an embedded server that this starts.

    Raises:
        StackError: the environment names one of two.
    """
    given = [os.environ.get(name, "") for name in ("DATABASE_URL", "AGENT_DATABASE_URL")]
    if all(given):
        say("using the databases that DATABASE_URL and AGENT_DATABASE_URL name")
        return Databases(django=given[0], agent=given[1])
    if any(given):
        raise StackError("Set both DATABASE_URL and AGENT_DATABASE_URL, or neither.")
    say("starting PostgreSQL")
    server = postgres.start(folder.path / "postgres")
    for name in DATABASES:
        server.create(name)
    return Databases(django=server.url(DATABASES[0]), agent=server.url(DATABASES[1]))


def prepare(layout: services.Layout, folder: state.Folder, say: Say) -> state.Login:
    """Migrate both sides, load the lessons and make a login."""
    say("migrating both databases, loading the lessons")
    known = state.login_of(folder)
    password = known.password if known else secrets.token_urlsafe(12)
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(_prepare_django, layout, folder, password)
        theirs = pool.submit(_run, layout.agent_env(), folder, services.agent("migrate"))
        token = ours.result()
        theirs.result()
    login = state.Login(username=state.LOGIN, password=password, token=token)
    state.keep_login(folder, login)
    return login


@contextlib.contextmanager
def running(layout: services.Layout, folder: state.Folder, say: Say) -> Iterator[list[processes.Process]]:
    """Start the services and wait until they are ready; stop them if that fails or the block does."""
    started: list[processes.Process] = []
    try:
        _start(layout, folder, started, say)
        yield started
    except BaseException:
        with interrupts.deaf():
            stop(folder, started)
        raise


def stop(folder: state.Folder, started: Sequence[processes.Process]) -> None:
    """Stop services."""
    processes.stop(*started)
    state.forget_running(folder)


def stop_database(folder: state.Folder) -> None:
    """Stop the embedded server, if it runs."""
    if server := postgres.find(folder.path / "postgres"):
        server.stop()


def _start(layout: services.Layout, folder: state.Folder, started: list[processes.Process], say: Say) -> None:
    ports = {"django": layout.django_port, "agent": layout.agent_port}
    if layout.model_port is not None:
        say("no provider key is set: a scripted model server answers, what it says is written beforehand")
    for name, command, env, cwd in _commands(layout):
        say(f"starting {name}")
        with interrupts.held():
            started.append(processes.start(name, command, env=env, cwd=cwd, log_folder=folder.logs))
            state.keep_running(folder, started, ports)
    addresses = {
        "models": f"http://127.0.0.1:{layout.model_port}/ok",
        "django": f"{layout.django_url}/ok",
        "agent-service": f"{layout.agent_url}/ok",
    }
    for process in started:
        if process.name in addresses:
            processes.wait_until_ready(process, addresses[process.name])
    for process in started:
        if process.running() is None:
            raise processes.ProcessError(f"{process.name} ended at once:\n{process.tail()}")


def _commands(layout: services.Layout) -> Iterator[tuple[str, list[str], dict[str, str], Path]]:
    django, agent = layout.django_env(), layout.agent_env()
    if layout.model_port is not None:
        yield "models", services.model_server(layout.model_port), agent, services.ROOT
    yield "django", services.django(layout), django, services.DJANGO_APP
    yield "dispatcher", services.manage("mandate_dispatcher"), django, services.DJANGO_APP
    yield "agent-service", services.agent("serve"), agent, services.ROOT


def _prepare_django(layout: services.Layout, folder: state.Folder, password: str) -> str:
    """Return the login's token."""
    env = layout.django_env()
    _run(env, folder, services.manage("migrate", "--verbosity", "0"))
    command = services.manage("load_lessons", "--editor", state.LOGIN, "--model", services.models()[0])
    return _run(env | {"EDITOR_PASSWORD": password}, folder, command).splitlines()[-1]


def _run(env: dict[str, str], folder: state.Folder, command: list[str]) -> str:
    django = "manage.py" in command
    return processes.run(
        ("manage-" if django else "agent-") + (command[2] if django else command[3]),
        command,
        env=env,
        cwd=services.DJANGO_APP if django else services.ROOT,
        log_folder=folder.logs,
    )
