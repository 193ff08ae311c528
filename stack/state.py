"""What a stack keeps between commands: its secrets, its login and its running processes."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared_schemas import keys
from stack import processes, services

LOGIN = "author"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The folder of one stack; everything in it may be removed while the stack is down."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def make(self) -> None:
        for folder in (self.path, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What an earlier command started."""

    started: tuple[processes.Process, ...] = ()
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def alive(self) -> list[processes.Process]:
        return [process for process in self.started if process.running()]

    @property
    def is_whole(self) -> bool:
        return bool(self.started) and len(self.alive) == len(self.started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A person who can sign in."""

    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    """For the people's REST API: `Authorization: Token ...`."""


@contextlib.contextmanager
def locked(folder: Folder) -> Iterator[bool]:
    """Hold the folder for one command; yield whether nobody else does."""
    with (folder.path / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def secrets_of(folder: Folder) -> services.Secrets:
    """Return a stack's secrets, made the first time."""
    known = _read(folder.path / "secrets.json")
    if known is None:
        known = {
            "django_secret_key": secrets.token_urlsafe(50),
            "django_signing_key": keys.generate(),
            "agent_signing_key": keys.generate(),
        }
        _write(folder.path / "secrets.json", known)
    return services.Secrets(**known)


def login_of(folder: Folder) -> Login | None:
    """Return the login that was made for a stack."""
    known = _read(folder.path / "login.json")
    return Login(**known) if known else None


def keep_login(folder: Folder, login: Login) -> None:
    known = {"username": login.username, "password": login.password, "token": login.token}
    _write(folder.path / "login.json", known)


def keep_running(folder: Folder, running: Sequence[processes.Process], ports: dict[str, int]) -> None:
    """Note what was started, for the command that stops it."""
    known = [
        {"name": process.name, "pid": process.pid, "started": process.started, "log": str(process.log)}
        for process in running
    ]
    _write(folder.path / "running.json", {"processes": known, "ports": ports})


def noted_in(folder: Folder) -> Noted:
    """Return what was noted, alive or not."""
    known = _read(folder.path / "running.json") or {"processes": [], "ports": {}}
    noted = (processes.Process(**each | {"log": Path(each["log"])}) for each in known["processes"])
    return Noted(started=tuple(noted), ports=known["ports"])


def forget_running(folder: Folder) -> None:
    (folder.path / "running.json").unlink(missing_ok=True)


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _write(path: Path, value: Any) -> None:
    # Written beside and moved, so that an interrupt leaves the old file or the new one.
    beside = path.with_suffix(".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(value, file, indent=2)
    beside.rename(path)
