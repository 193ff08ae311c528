"""Puts a stack together: databases, migrations, data, a login, and the services in their order."""

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stack import postgres, processes, services, state

Say = Callable[[str], None]
"""Tells the person at the terminal what happens."""

DATABASES = ("mandate", "mandate_agent")


class StackError(Exception):
    """The stack cannot be started as asked; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The two databases, and the server if it is ours."""

    django: str
    agent: str
    server: postgres.Server | None


def open_databases(folder: state.Folder, say: Say) -> Databases:
    """Return the databases that the environment names, or those of an embedded server that this starts.

    Raises:
        StackError: the environment names one of two.
    """
    given = [os.environ.get(name, "") for name in ("DATABASE_URL", "AGENT_DATABASE_URL")]
    if all(given):
        say("using the databases that DATABASE_URL and AGENT_DATABASE_URL name")
        return Databases(django=given[0], agent=given[1], server=None)
    if any(given):
        raise StackError("Set both DATABASE_URL and AGENT_DATABASE_URL, or neither.")
    say("starting PostgreSQL")
    server = postgres.start(folder.path / "postgres")
    for name in DATABASES:
        server.create(name)
    return Databases(django=server.url(DATABASES[0]), agent=server.url(DATABASES[1]), server=server)


def prepare(layout: services.Layout, folder: state.Folder, say: Say) -> state.Login:
    """Migrate both sides, load the lessons and make a login."""
    say("migrating both databases")
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(_run_manage, layout, folder, "migrate", "--verbosity", "0")
        theirs = pool.submit(_run_agent, layout, folder, "migrate")
        ours.result()
        theirs.result()
    say("loading the lessons")
    _run_manage(layout, folder, "load_lessons")
    login = state.login_of(folder)
    if login is None:
        login = _make_login(layout, folder)
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
        processes.stop(*started)
        raise


def _start(layout: services.Layout, folder: state.Folder, started: list[processes.Process], say: Say) -> None:
    def start(name: str, command: list[str], env: dict[str, str]) -> processes.Process:
        cwd = services.DJANGO_APP if env is django_env else services.ROOT
        process = processes.start(name, command, env=env, cwd=cwd, log_folder=folder.logs)
        started.append(process)
        return process

    django_env, agent_env = layout.django_env(), layout.agent_env()
    ready: list[tuple[processes.Process, str]] = []
    if layout.model_port is not None:
        say(
            "starting the scripted model server: no provider key is set, its answers are written down beforehand"
        )
        command = services.model_server(layout.model_port)
        ready.append((start("model", command, agent_env), f"http://127.0.0.1:{layout.model_port}/v1/models"))
    say("starting Django, the dispatcher and the agent service")
    ready.append((start("django", services.django(layout), django_env), f"{layout.django_url}/ok"))
    ready.append((start("agent", services.agent("serve"), agent_env), f"{layout.agent_url}/ok"))
    start("dispatcher", services.manage("mandate_dispatcher"), django_env)
    for process, url in ready:
        processes.wait_until_ready(process, url)


def _make_login(layout: services.Layout, folder: state.Folder) -> state.Login:
    password = secrets.token_urlsafe(12)
    user = {
        "DJANGO_SUPERUSER_USERNAME": state.LOGIN,
        "DJANGO_SUPERUSER_EMAIL": f"{state.LOGIN}@localhost",
        "DJANGO_SUPERUSER_PASSWORD": password,
    }
    _run_manage(layout, folder, "createsuperuser", "--noinput", extra=user)
    printed = _run_manage(layout, folder, "drf_create_token", state.LOGIN)
    found = re.search(r"[0-9a-f]{40}", printed)
    assert found is not None
    return state.Login(username=state.LOGIN, password=password, token=found[0])


def _run_manage(
    layout: services.Layout, folder: state.Folder, *arguments: str, extra: dict[str, str] | None = None
) -> str:
    return processes.run(
        f"manage-{arguments[0]}",
        services.manage(*arguments),
        env=layout.django_env() | (extra or {}),
        cwd=services.DJANGO_APP,
        log_folder=folder.logs,
    )


def _run_agent(layout: services.Layout, folder: state.Folder, *arguments: str) -> str:
    return processes.run(
        f"agent-{arguments[0]}",
        services.agent(*arguments),
        env=layout.agent_env(),
        cwd=services.ROOT,
        log_folder=folder.logs,
    )
