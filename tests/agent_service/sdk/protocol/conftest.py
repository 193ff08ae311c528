"""One agent service for the agent streaming protocol, and the unmodified Python client."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import langgraph_sdk
import pytest
import structlog

from agent_service import app
from agent_service.settings import Settings
from shared_schemas import keys, tokens
from tests import serving

READ_AND_WRITE = frozenset({tokens.Scope.RUNS_READ, tokens.Scope.RUNS_WRITE})

DJANGO = keys.parse_signing(keys.generate())


@dataclass(frozen=True, kw_only=True)
class Service:
    url: str
    settings: Settings


@pytest.fixture(scope="session")
def settings(make_database, migrated_database):
    return Settings(
        database_url=make_database(migrated_database),
        signing_key=keys.generate(),
        trusted_keys=DJANGO.public_text(),
        django_url="http://127.0.0.1:9",
        graphs=Path(__file__).with_name("langgraph.json"),
        stream_heartbeat=timedelta(milliseconds=500),
        retry_delay=timedelta(milliseconds=10),
        port=0,
    )


@pytest.fixture(scope="session")
def plain_logs():
    """Tracebacks without their pictures of local variables, which take seconds to draw."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def service(settings, plain_logs):
    with serving.serving(app.create_app(settings)) as url:
        yield Service(url=url, settings=settings)


@pytest.fixture
def user():
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def token(user):
    """Return a function that signs a token as Django does."""

    def issue(**changes):
        fields = {
            "typ": tokens.TokenType.SERVICE,
            "issuer": tokens.DJANGO,
            "audience": tokens.AGENT_SERVICE,
            "subject": user,
            "token_id": str(uuid.uuid4()),
            "scopes": READ_AND_WRITE,
        }
        return tokens.issue(DJANGO, **fields | changes)

    return issue


@pytest.fixture
async def client(service, token):
    """The official client, unmodified."""
    headers = {"Authorization": f"Bearer {token()}"}
    async with langgraph_sdk.get_client(url=service.url, headers=headers, api_key=None) as official:
        yield official


@pytest.fixture
async def http(service, token):
    """Plain HTTP, for what the official client never sends."""
    headers = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, verify=False, timeout=30) as plain:
        yield plain


@pytest.fixture
def stream_events(http):
    """Return a function that opens a stream and reads it until an event satisfies."""

    async def read(thread_id, *, until, headers=None, **body):
        return [event async for event in _events(http, thread_id, until, headers or {}, body)]

    return read


async def _events(http, thread_id, until, headers, body):
    path = f"/threads/{thread_id}/stream/events"
    async with (
        http.stream("POST", path, json=body, headers=headers) as response,
    ):
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                event = httpx.Response(200, text=line.removeprefix("data: ")).json()
                yield event
                if until(event):
                    return


@pytest.fixture
def command(http):
    """Return a function that sends a command and returns its answer."""
    sent = Counter()

    async def send(thread_id, method, headers=None, **params):
        sent["commands"] += 1
        body = {"id": sent["commands"], "method": method, "params": params}
        response = await http.post(f"/threads/{thread_id}/commands", json=body, headers=headers)
        response.raise_for_status()
        return response.json()

    return send
