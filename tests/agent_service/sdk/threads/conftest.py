"""One agent service for threads and assistants, and the unmodified Python clients."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import langgraph_sdk
import psycopg
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
        port=0,
    )


@pytest.fixture(scope="session")
def service(settings):
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    with serving.serving(app.create_app(settings)) as url:
        yield Service(url=url, settings=settings)
    structlog.reset_defaults()


@pytest.fixture
def headers_of():
    """Return a function that makes the headers of a request for somebody."""

    def make(subject, typ=tokens.TokenType.SERVICE, scopes=READ_AND_WRITE):
        token = tokens.issue(
            DJANGO,
            typ=typ,
            issuer=tokens.DJANGO,
            audience=tokens.AGENT_SERVICE,
            subject=subject,
            token_id=str(uuid.uuid4()),
            scopes=scopes,
        )
        return {"Authorization": f"Bearer {token}"}

    return make


@pytest.fixture
def user():
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def headers(headers_of, user):
    return headers_of(user)


@pytest.fixture
async def client(service, headers):
    async with langgraph_sdk.get_client(url=service.url, headers=headers, api_key=None) as official:
        yield official


@pytest.fixture
async def stranger(service, headers_of):
    """The client of somebody else."""
    headers = headers_of(f"user-{uuid.uuid4()}")
    async with langgraph_sdk.get_client(url=service.url, headers=headers, api_key=None) as official:
        yield official


@pytest.fixture
async def http(service, headers):
    async with httpx.AsyncClient(base_url=service.url, headers=headers, verify=False) as plain:
        yield plain


@pytest.fixture
async def thread_id(client):
    return (await client.threads.create())["thread_id"]


@pytest.fixture
def query(service):
    """Return a function that asks the service's database."""

    def ask(statement, *values):
        with psycopg.connect(service.settings.database_url.get_secret_value(), autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    return ask
