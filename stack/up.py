"""`make up`, `make down` and `make token`: the stack in the background."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from stack import assembly, demo, postgres, processes, services, state

FOLDER = state.Folder(path=services.ROOT / ".mandate")


def up() -> None:
    """Start the stack and return when it is ready.

    Raises:
        StackError: a port is taken, or another command is at work on the stack.
    """
    FOLDER.make()
    with state.locked(FOLDER) as ours:
        if not ours:
            raise assembly.StackError("Another `make up` is at work; wait for it.")
        noted, login = state.noted_in(FOLDER), state.login_of(FOLDER)
        if login and noted.is_whole:
            print("the stack is running already; `make down` stops it")
            _tell(noted.ports, login)
            return
        assembly.stop(FOLDER, noted.alive)
        _start()


def down() -> None:
    """Stop what `up` started; the data stays."""
    alive = state.noted_in(FOLDER).alive
    assembly.stop(FOLDER, alive)
    assembly.stop_database(FOLDER)
    print("stopped" if alive else "nothing was running")


def clean() -> None:
    """Stop everything and delete all data."""
    down()
    for folder in (FOLDER, demo.FOLDER):
        assembly.stop(folder, state.noted_in(folder).alive)
        postgres.remove(folder.path / "postgres")
    shutil.rmtree(FOLDER.path, ignore_errors=True)


def status() -> None:
    """Print what runs.

    Raises:
        StackError: not everything does.
    """
    noted, login = state.noted_in(FOLDER), state.login_of(FOLDER)
    for process in noted.started:
        now = f"runs, pid {process.pid}" if process.running() else "ended"
        print(f"{process.name:<14} {now}, log {os.path.relpath(process.log)}")
    if not login or not noted.is_whole:
        raise assembly.StackError("The stack does not run whole; `make up` starts it.")
    _tell(noted.ports, login)


def token() -> None:
    """Print a bearer for the agent service on the last line.

    Raises:
        StackError: the stack is not running.
    """
    noted = state.noted_in(FOLDER)
    if not noted.alive:
        raise assembly.StackError("The stack is not running; `make up` starts it.")
    databases = assembly.open_databases(FOLDER, _say_nothing)
    printed = processes.run(
        "manage-mandate_token",
        services.manage("mandate_token", "--user", state.LOGIN),
        env=_layout(databases, noted.ports).django_env(),
        cwd=services.DJANGO_APP,
        log_folder=FOLDER.logs,
    )
    print(printed.strip())


def _start() -> None:
    ports = {"django": _port("DJANGO_PORT", 8000), "agent": _port("AGENT_PORT", 8123)}
    try:
        layout = _layout(assembly.open_databases(FOLDER, _say), ports)
        login = assembly.prepare(layout, FOLDER, _say)
        with assembly.running(layout, FOLDER, _say):
            _tell(ports, login)
    except BaseException:
        assembly.stop_database(FOLDER)
        raise


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    value: str


def _tell(ports: dict[str, int], login: state.Login) -> None:
    django, agent = (f"http://127.0.0.1:{ports[name]}" for name in ("django", "agent"))
    lines = [
        _Line("Django", f"{django}/admin/"),
        _Line("login", f"{login.username} / {login.password}"),
        _Line("REST API", f"curl -H 'Authorization: Token {login.token}' {django}/api/agents/runs/"),
        _Line("agent service", f"{agent}  (`make token` prints a bearer)"),
        _Line("logs", os.path.relpath(FOLDER.logs)),
    ]
    print("ready")
    for line in lines:
        print(f"  {line.label:<14} {line.value}")


def _layout(databases: assembly.Databases, ports: dict[str, int]) -> services.Layout:
    graphs = os.environ.get("AGENT_GRAPHS")
    return services.Layout(
        database_url=databases.django,
        agent_database_url=databases.agent,
        django_port=ports["django"],
        agent_port=ports["agent"],
        model_port=None if services.has_provider() else processes.free_port(),
        secrets=state.secrets_of(FOLDER),
        graphs=str(Path(graphs).resolve()) if graphs else None,
        catalogue=services.catalogue(),
    )


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the number of ports
        raise assembly.StackError(f"{variable} must be a port number, not {text!r}.")
    if processes.port_is_taken(int(text)):
        raise assembly.StackError(
            f"Port {text} is taken. Stop what listens there, or choose another {variable}."
        )
    return int(text)


def _say(text: str) -> None:
    print(f"{text} ...", flush=True)


def _say_nothing(_: str) -> None:
    pass
