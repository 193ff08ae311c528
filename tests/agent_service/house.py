"""An agent service over real HTTP on a database of its own, and who calls it."""

import contextlib
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import timedelta

import httpx
import langgraph_sdk

from agent_service import app
from agent_service.settings import Settings
from shared_schemas import keys, tokens
from tests import serving

DJANGO = keys.parse_signing(keys.generate())
"""Signs the tokens that a house believes."""

READ_AND_WRITE = frozenset({tokens.Scope.RUNS_READ, tokens.Scope.RUNS_WRITE})


@dataclass(frozen=True, kw_only=True)
class Service:
    url: str
    settings: Settings


def settings(database_url, graphs, **changes):
    given = {
        "database_url": database_url,
        "signing_key": keys.generate(),
        "trusted_keys": DJANGO.public_text(),
        "django_url": "http://127.0.0.1:9",
        "graphs": graphs,
        "stream_heartbeat": timedelta(milliseconds=500),
        "drain_timeout": timedelta(seconds=2),
        "port": 0,
    }
    return Settings(**given | changes)


@contextlib.contextmanager
def opened(read, *, with_worker=True):
    """Serve from a thread of its own, with a real worker."""
    with serving.serving(app.create_app(read, with_worker=with_worker)) as url:
        yield Service(url=url, settings=read)


@contextlib.contextmanager
def worker_processes(log):
    """Yield a function that starts a worker in a process of its own; what still runs is killed in the end."""
    started = []

    def start(environment):
        with log.open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "agent_service", "worker"],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def token(subject, *, key=DJANGO, **changes):
    """Sign a token as Django does."""
    given = {
        "typ": tokens.TokenType.SERVICE,
        "issuer": tokens.DJANGO,
        "audience": tokens.AGENT_SERVICE,
        "subject": subject,
        "token_id": str(uuid.uuid4()),
        "scopes": READ_AND_WRITE,
    }
    return tokens.issue(key, **given | changes)


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


class Signing(httpx.Auth):
    """Signs a token for each request that has none: one lives for a minute, and a test may take longer."""

    def __init__(self, issue):
        self.issue = issue

    def auth_flow(self, request):
        if "authorization" not in request.headers:
            request.headers.update(bearer(self.issue()))
        yield request


def client_of(url, text):
    """Return the official client, unmodified."""
    return langgraph_sdk.get_client(url=url, headers=bearer(text), api_key=None)
