"""One agent service for runs and streams, the unmodified Python client, and gates that hold its graphs."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import langgraph_sdk
import psycopg
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent_service import app
from agent_service.settings import Settings
from shared_schemas import keys, tokens
from tests import serving

READ_AND_WRITE = frozenset({tokens.Scope.RUNS_READ, tokens.Scope.RUNS_WRITE})

DJANGO = keys.parse_signing(keys.generate())

PAGE = "https://chat.example"


@dataclass(frozen=True, kw_only=True)
class Service:
    url: str
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Somebody who takes webhooks."""

    url: str
    bodies: list


@pytest.fixture(scope="session")
def receiver():
    bodies = []

    async def take(request: Request) -> Response:
        bodies.append(await request.json())
        return Response(status_code=204)

    with serving.serving(Starlette(routes=[Route("/hook", take, methods=["POST"])])) as url:
        yield Receiver(url=f"{url}/hook", bodies=bodies)


@pytest.fixture(scope="session")
def settings(make_database, migrated_database, receiver):
    return Settings(
        database_url=make_database(migrated_database),
        signing_key=keys.generate(),
        trusted_keys=DJANGO.public_text(),
        django_url="http://127.0.0.1:9",
        graphs=Path(__file__).with_name("langgraph.json"),
        stream_heartbeat=timedelta(milliseconds=500),
        webhook_urls=(receiver.url,),
        cors_origins=(PAGE,),
        streams_per_run=3,
        streams_per_caller=5,
        stream_patience=timedelta(seconds=1),
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
    """Somebody who has no threads yet."""
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
async def connect(service, token):
    """Return a function that opens the official client, unmodified, for somebody's token."""
    clients = []

    async def open_one(**changes):
        headers = {"Authorization": f"Bearer {token(**changes)}"}
        client = langgraph_sdk.get_client(url=service.url, headers=headers, api_key=None)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(connect):
    return await connect()


@pytest.fixture
async def http(service, token):
    """Plain HTTP, for what the official client never sends."""
    headers = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, verify=False, timeout=30) as plain:
        yield plain


@pytest.fixture
async def thread_id(client):
    thread = await client.threads.create()
    return thread["thread_id"]


@pytest.fixture
def query(service):
    """Return a function that asks the service's database."""

    def ask(statement, *values):
        with psycopg.connect(service.settings.database_url.get_secret_value()) as connection:
            return connection.execute(statement, values).fetchall()

    return ask


@pytest.fixture
def begun(client):
    """Return a function that starts a run and waits until its graph is at work."""

    async def start(thread_id, graph, given, **options):
        run = await client.runs.create(thread_id, graph, input=given, stream_mode="custom", **options)
        async with asyncio.timeout(30):
            async for part in client.runs.join_stream(run["thread_id"], run["run_id"]):
                if part.event == "custom":
                    return run
        raise AssertionError("the run ended before it was at work")

    return start
