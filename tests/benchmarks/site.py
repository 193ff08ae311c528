"""The site that is measured: Django as it is deployed, on a PostgreSQL that forgets nothing."""

import contextlib
import json
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared_schemas import keys
from stack import postgres, processes, services

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server and what was prepared for its clients."""

    port: int
    processes: tuple[int, ...]
    """Django and PostgreSQL."""

    prepared: dict[str, Any]


@contextlib.contextmanager
def running(folder: Path, *records: str) -> Iterator[Site]:
    """Start it in a folder of its own, with what the module and arguments `records` make and print; leave nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        server = postgres.start(folder / "postgres")
        undo.callback(server.remove)
        server.create("mandate")
        layout = _layout(server.url("mandate"))
        path = {"PYTHONPATH": f"{services.DJANGO_APP}:{services.ROOT}"}
        env = layout.django_env() | SETTINGS | path
        migrate = services.manage("migrate", "--verbosity", "0")
        processes.run("migrate", migrate, env=env, cwd=services.DJANGO_APP, log_folder=folder)
        make = [sys.executable, "-m", *records]
        printed = processes.run("records", make, env=env, cwd=services.ROOT, log_folder=folder)
        django = processes.start(
            "django", services.django(layout), env=env, cwd=services.DJANGO_APP, log_folder=folder
        )
        undo.callback(processes.stop, django)
        processes.wait_until_ready(django, f"{layout.django_url}/ok")
        yield Site(
            port=layout.django_port,
            processes=(django.pid, int((server.data / "postmaster.pid").read_text().splitlines()[0])),
            prepared=json.loads(printed.splitlines()[-1]),
        )


def _layout(database_url: str) -> services.Layout:
    return services.Layout(
        database_url=database_url,
        agent_database_url="",
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=None,
        secrets=services.Secrets(
            django_secret_key=secrets.token_urlsafe(50),
            django_signing_key=keys.generate(),
            agent_signing_key=keys.generate(),
        ),
    )
