"""The command line `agent-service`."""

# ruff: noqa: T201 - it talks to a person

import argparse
import asyncio
import gc
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import uvicorn
import uvloop
from psycopg.rows import dict_row
from starlette.datastructures import State

from agent_service import app, bootstrap, database, exceptions, migrating, settings, telemetry, webhooks
from agent_service.settings import Settings
from shared_schemas import crashing, keys

GRACE = 5
"""Seconds for answers that are being written when the service is told to stop; streams end at once."""

KEEP_ALIVE = 75
"""Seconds that a connection may be idle: longer than clients keep theirs, so that no request meets its closing."""


class Server(uvicorn.Server):
    """Ends streams before it waits for their connections, and stops when the worker beside it fails."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.state = state

    @property
    def worker_failed(self) -> bool:
        worker: asyncio.Task[None] | None = self.state.worker
        return worker is not None and worker.done() and worker.exception() is not None

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self.worker_failed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.state.stopping.set()
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except exceptions.ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.OperationalError as error:
        print(f"PostgreSQL cannot be used: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent-service",
        description="Runs LangGraph graphs beside Django. Settings come from the environment.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="answer HTTP and work on runs")
    serve.add_argument("--no-worker", action="store_true", help="answer HTTP only")
    serve.set_defaults(run=_serve)
    _webhooks_parser(commands.add_parser("webhooks", help="look at webhooks, and deliver them again"))
    for name, command, text in (
        ("worker", _worker, "work on runs only"),
        ("migrate", _migrate, "make or update the tables"),
        ("openapi", _openapi, "print the OpenAPI document"),
        ("keys", _keys, "print a new key pair as lines of an environment file"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=command)
    return parser


def _webhooks_parser(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="print the latest as JSON lines, with every answer")
    listing.add_argument("--open", action="store_true", help="only those that nobody took")
    listing.add_argument("--limit", type=int, default=100)
    listing.set_defaults(run=_list_webhooks)
    again = commands.add_parser("redeliver", help="deliver again, from the first attempt on")
    again.add_argument("webhook_id", type=UUID, nargs="*")
    again.add_argument("--abandoned", action="store_true", help="all that were given up")
    again.set_defaults(run=_redeliver_webhooks)


def _list_webhooks(options: argparse.Namespace) -> int:
    async def read() -> list[dict[str, Any]]:
        async with _connected() as connection:
            return await webhooks.listed(connection, open_only=options.open, limit=options.limit)

    for row in asyncio.run(read()):
        print(json.dumps(row, default=str))
    return 0


def _redeliver_webhooks(options: argparse.Namespace) -> int:
    async def ask() -> list[UUID]:
        async with _connected() as connection:
            return await webhooks.redeliver(connection, options.webhook_id, all_abandoned=options.abandoned)

    again = asyncio.run(ask())
    print(f"{len(again)} to be delivered again")
    return 0 if set(options.webhook_id) <= set(again) else 1


@asynccontextmanager
async def _connected() -> AsyncIterator[database.Connection]:
    url = _load().session_database_url
    async with await database.Connection.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def _serve(options: argparse.Namespace) -> int:
    read = _load()
    application = app.create_app(read, with_worker=not options.no_worker)
    config = uvicorn.Config(
        application,
        host=read.host,
        port=read.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = Server(config, application.state)
    try:
        server.run()
    except SystemExit:
        if application.state.refusal is not None:
            raise application.state.refusal from None
        raise
    return 1 if server.worker_failed else 0


def _worker(_: argparse.Namespace) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(_load()))
    return 0


async def _work(read: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with bootstrap.open_services(read, channels=bootstrap.WORKING) as services:
        _settle()
        await services.worker.run(stop)


def _settle() -> None:
    """Let the collector pass over what the process keeps for its whole life: a tenth of its time went there."""
    gc.collect()
    gc.freeze()


def _migrate(_: argparse.Namespace) -> int:
    for name in asyncio.run(migrating.migrate(_load().session_database_url)):
        print(f"applied {name}")
    return 0


def _openapi(_: argparse.Namespace) -> int:
    print(json.dumps(app.openapi(), indent=2, sort_keys=True))
    return 0


def _keys(_: argparse.Namespace) -> int:
    private = keys.generate()
    print(f"# for the agent service\nAGENT_SIGNING_KEY={private}")
    print(f"# for Django\nMANDATE_TRUSTED_KEYS={keys.parse_signing(private).public_text()}")
    return 0


def _load() -> Settings:
    read = settings.load()
    telemetry.configure(read.log_level)
    crashing.arm(read.crash_points)
    return read


if __name__ == "__main__":
    sys.exit(main())
