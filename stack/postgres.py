"""An embedded PostgreSQL for development and tests.

    server = postgres.start(Path(".mandate/postgres"))   # or finds it running
    server.create("mandate")                             # a database and the role that owns it, if missing
    server.url("mandate")                                # postgresql://mandate:...@/mandate?host=/...
    server.admin_url("postgres")                         # as the superuser
    server.stop()                                        # the data stays
    server.remove()                                      # stopped, and the data gone

It listens on a unix socket in a private folder, never on TCP, and asks everybody for a password.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stack import installation

SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 103  # sun_path on the strictest system, without the closing NUL

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "600",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "io_method": "sync"}
"""For tests: quicker, and a crash of the machine may lose everything."""


class PostgresError(Exception):
    """PostgreSQL could not be made, started or stopped; its own words are in the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server."""

    installed: installation.Installation
    socket_folder: Path

    @property
    def data(self) -> Path:
        return self.installed.home / "data"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    def url(self, database: str) -> str:
        """Return the address of a database for the role that owns it."""
        return self._address(database, role=database, password=self._password_of(database))

    def admin_url(self, database: str) -> str:
        """Return the address of a database for the superuser."""
        return self._address(database, role=SUPERUSER, password=_password(self.installed))

    def create(self, database: str) -> None:
        """Make a database and a role of the same name that owns it; others may not even connect."""
        if database not in self._query("SELECT rolname FROM pg_roles").splitlines():
            self._query(f"CREATE ROLE \"{database}\" LOGIN PASSWORD '{self._password_of(database)}'")
        if database not in self._query("SELECT datname FROM pg_database").splitlines():
            self._query(f'CREATE DATABASE "{database}" OWNER "{database}"')
        self._query(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')

    def is_running(self) -> bool:
        return self.control("status").returncode == 0

    def stop(self) -> None:
        """Stop the server and leave its data."""
        with _locked(self.installed.home):
            stopped = self.control("stop", "--mode=fast", "--wait")
            if self.is_running():
                raise PostgresError(f"PostgreSQL does not stop: {stopped.stderr.strip()}")

    def remove(self) -> None:
        """Stop the server and delete everything of it."""
        self.stop()
        shutil.rmtree(self.installed.home)
        if self.socket_folder.exists():
            shutil.rmtree(self.socket_folder)

    def _address(self, database: str, *, role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def _password_of(self, role: str) -> str:
        return hmac.digest(_password(self.installed).encode(), role.encode(), hashlib.sha256).hex()

    def _query(self, statement: str) -> str:
        # psql reads the password from its environment and the statement from its input: neither is in `ps`.
        answer = subprocess.run(
            [self.installed.programs / "psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1"],
            check=False,
            capture_output=True,
            text=True,
            input=statement,
            env={
                "PGHOST": str(self.socket_folder),
                "PGUSER": SUPERUSER,
                "PGDATABASE": "postgres",
                "PGPASSWORD": _password(self.installed),
            },
        )
        if answer.returncode != 0:
            raise PostgresError(f"PostgreSQL refused a statement: {answer.stderr.strip()}")
        return answer.stdout.strip()

    def control(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run pg_ctl on the data of this server."""
        return self.installed.run("pg_ctl", command, f"--pgdata={self.data}", *options)


def start(folder: Path, *, durable: bool = True) -> Server:
    """Return the running server of a folder; its cluster is made where there is none.

    Raises:
        PostgresError: it does not start.
    """
    installed = installation.prepare(folder.resolve())
    with _locked(installed.home):
        server = Server(installed=installed, socket_folder=_socket_folder(installed))
        if not server.data.exists():
            _make_cluster(server, durable=durable)
        if not server.is_running():
            _launch(server, durable=durable)
    return server


def find(folder: Path) -> Server | None:
    """Return the server of a folder if it runs."""
    folder = folder.resolve()
    home = installation.home_of(folder)
    if home is None or not (home / "data").exists():
        return None
    installed = installation.prepare(folder)
    server = Server(installed=installed, socket_folder=_socket_folder(installed))
    return server if server.is_running() else None


def remove(folder: Path) -> None:
    """Delete everything of a folder's server, running or not."""
    home = installation.home_of(folder.resolve())
    if home is not None and home.exists():
        installed = installation.prepare(folder.resolve())
        Server(installed=installed, socket_folder=_socket_folder(installed)).remove()


def _make_cluster(server: Server, *, durable: bool) -> None:
    # Under another name until it is whole: initdb may be interrupted anywhere.
    making = server.installed.home / "making"
    shutil.rmtree(making, ignore_errors=True)
    server.installed.make_folder(making)
    _write_password(server.installed)
    made = server.installed.run(
        "initdb",
        f"--pgdata={making}",
        f"--username={SUPERUSER}",
        f"--pwfile={_password_file(server.installed)}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    )
    if made.returncode != 0:
        raise PostgresError(f"initdb failed: {made.stderr.strip()}")
    making.rename(server.data)


def _launch(server: Server, *, durable: bool) -> None:
    settings = SETTINGS | {"unix_socket_directories": str(server.socket_folder)}
    options = " ".join(
        f"-c {name}={shlex.quote(value)}"
        for name, value in (settings if durable else settings | FORGETFUL).items()
    )
    started = server.control("start", "--wait", f"--log={server.log}", f"--options={options}")
    if started.returncode != 0:
        said = server.log.read_text(errors="replace")[-2000:] if server.log.exists() else ""
        raise PostgresError(f"PostgreSQL does not start: {started.stderr.strip()}\n{said}")


def _socket_folder(installed: installation.Installation) -> Path:
    folder = installed.home / "socket"
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(installed.home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"mandate-{os.geteuid()}-{name}")
    installed.make_folder(folder)
    status = folder.lstat()
    owner = installed.account.pw_uid if installed.account else os.geteuid()
    if status.st_uid != owner or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise PostgresError(f"{str(folder)!r} is not a private folder of ours; remove it.")
    return folder


def _password(installed: installation.Installation) -> str:
    return _password_file(installed).read_text().strip()


def _write_password(installed: installation.Installation) -> None:
    file = _password_file(installed)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(24))
    installed.give(file)


def _password_file(installed: installation.Installation) -> Path:
    return installed.home / "password"


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
