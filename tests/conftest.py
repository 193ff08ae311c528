"""Databases for every side's tests; `stack.pytest_postgres` started the server."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
import tenacity
from django.db import OperationalError
from django.db.backends.base.operations import BaseDatabaseOperations
from psycopg import sql

from stack import pytest_postgres

# A shared machine is slow at times, and the same examples everywhere make a failure one that can be repeated.
hypothesis.settings.register_profile("shared", deadline=None, derandomize=True)
hypothesis.settings.load_profile("shared")

MakeDatabase = Callable[..., str]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that start processes, and keep those of one folder, which share a house, together."""
    for item in items:
        if not item.nodeid.endswith(item.name):
            # Schemathesis gives all operations of a document one id, and xdist runs one test of each id.
            _rename(item, f"{item.parent.nodeid}::{item.name}" if item.parent else item.name)
        if item.get_closest_marker("e2e"):
            # As `xdist_group` would, which pytest 9.2 does not hear of (xdist 3.8 changes a name that it has left).
            _rename(item, f"{item.nodeid}@{item.path.parent.name}")
    # The others are first: what pytest-django sorts to their end empties the database for those behind.
    houses = {folder: place for place, folder in enumerate(dict.fromkeys([None, *map(_house, items)]))}
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, houses[_house(item)]))


def _rename(item: pytest.Item, name: str) -> None:
    item._id = type(item.id).parse(name)


def _house(item: pytest.Item) -> Path | None:
    """Return the folder of a test whose folder is a package, and may have a house; the others mix."""
    folder = item.path.parent
    return folder if (folder / "__init__.py").exists() else None


@pytest.fixture(scope="session", autouse=True)
def flush_again() -> Iterator[None]:
    """Empty the database once more if that lost a deadlock: a test's last webhook may still be at work in it."""
    once_more = tenacity.retry(
        retry=tenacity.retry_if_exception_type(OperationalError),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        flush = BaseDatabaseOperations.execute_sql_flush
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", once_more(flush))
        yield


@pytest.fixture(scope="session")
def server_url() -> str:
    """A superuser's address of the server's own database."""
    return os.environ[pytest_postgres.VARIABLE]


@pytest.fixture(scope="session")
def make_database(server_url: str) -> Iterator[MakeDatabase]:
    """Return a function that makes a database, empty or a copy of `template`, and returns its address.

    Nobody may be connected to the template while it is copied; it is a name of an earlier database's address.
    """
    with contextlib.ExitStack() as stack:

        def make(template: str | None = None) -> str:
            name = f"test_{uuid.uuid4().hex}"
            source = psycopg.conninfo.conninfo_to_dict(template)["dbname"] if template else "template0"
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            _execute(server_url, statement.format(sql.Identifier(name), sql.Identifier(str(source))))
            if pytest_postgres.OURS not in os.environ:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                stack.callback(_execute, server_url, drop)
            return pytest_postgres.on_same_server(server_url, name)

        yield make


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
