"""One agent service for all tests of its API: a real server and a real worker, in a thread of their own."""

import uuid
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
        stream_heartbeat=timedelta(milliseconds=200),
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
    application = app.create_app(settings)
    with serving.serving(application) as url:
        yield Service(url=url, settings=settings)


@pytest.fixture
def user():
    """Somebody who has no threads yet."""
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def token(user):
    """Return a function that signs a token as Django does."""

    def issue(key=DJANGO, **changes):
        fields = {
            "typ": tokens.TokenType.SERVICE,
            "issuer": tokens.DJANGO,
            "audience": tokens.AGENT_SERVICE,
            "subject": user,
            "token_id": str(uuid.uuid4()),
            "scopes": READ_AND_WRITE,
        }
        return tokens.issue(key, **fields | changes)

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
    async with httpx.AsyncClient(base_url=service.url, headers=headers, verify=False) as plain:
        yield plain


@pytest.fixture
async def thread_id(client):
    thread = await client.threads.create()
    return thread["thread_id"]
