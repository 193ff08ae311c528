"""A PostgreSQL for one test session, before Django reads its settings.

`TEST_DATABASE_URL` names a server to use instead; its role must be allowed to make databases.
`TEST_DATABASE_NAME` is for sessions that use one server at one time.
Workers of pytest-xdist inherit the address of the server that the first process started.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest

from stack import postgres

VARIABLE = "TEST_DATABASE_URL"
NAME = "TEST_DATABASE_NAME"
OURS = "TEST_SERVER_IS_OURS"
"""Set while the server was started here: it goes with everything in it, so nothing has to be dropped before."""

SERVERS = Path(__file__).parents[1] / ".mandate" / "tests"

_started = pytest.StashKey[postgres.Server]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    if VARIABLE not in os.environ:
        _remove_abandoned()
        folder = SERVERS / str(os.getpid())
        folder.mkdir(mode=0o700, parents=True)  # root's data is elsewhere: this is how it is found again
        server = postgres.start(folder, durable=False)
        early_config.stash[_started] = server
        os.environ[VARIABLE] = server.admin_url("postgres")
        os.environ[OURS] = "1"
    os.environ["DATABASE_URL"] = on_same_server(os.environ[VARIABLE], os.environ.get(NAME, "mandate"))
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(_started, None):
        os.environ.pop(VARIABLE)
        os.environ.pop(OURS)
        server.remove()
        shutil.rmtree(SERVERS / str(os.getpid()), ignore_errors=True)


def on_same_server(url: str, database: str) -> str:
    """Return the address of another database beside the one in `url`."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _remove_abandoned() -> None:
    """Remove the servers of sessions that were killed, of one that had our process's number too."""
    for folder in SERVERS.glob("*"):
        if int(folder.name) == os.getpid() or not psutil.pid_exists(int(folder.name)):
            postgres.remove(folder)
            shutil.rmtree(folder, ignore_errors=True)
