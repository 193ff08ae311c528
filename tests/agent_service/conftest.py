"""An empty migrated database for each test, settings that name it, and callers of the `service` of a folder."""

import asyncio
import uuid
from datetime import timedelta

import httpx
import langgraph_sdk
import psycopg
import pytest
import tenacity

from agent_service import migrating, telemetry
from agent_service.settings import Settings
from shared_schemas import keys
from tests.agent_service import house

EMPTY = (
    "TRUNCATE threads, runs, run_events, run_results, run_beginnings, webhooks, webhook_attempts,"
    " webhook_addresses,"
    " assistants, assistant_versions,"
    " pgqueuer, pgqueuer_log, pgqueuer_statistics,"
    " checkpoints, checkpoint_blobs, checkpoint_writes"
)


@pytest.fixture(scope="session", autouse=True)
def logs():
    # Without it structlog draws each traceback with all its locals, which takes seconds.
    telemetry.configure("WARNING")


@pytest.fixture(scope="session")
def migrated_database(make_database):
    """A database to make copies of; nobody works in it."""
    url = make_database()
    asyncio.run(migrating.migrate(url))
    return url


@pytest.fixture(scope="session")
def shared_database(make_database, migrated_database):
    return make_database(migrated_database)


@pytest.fixture
def database_url(shared_database):
    empty(shared_database)
    return shared_database


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(psycopg.errors.DeadlockDetected),
    stop=tenacity.stop_after_attempt(5),
    reraise=True,
)
def empty(url):
    """Do it once more if it lost a deadlock: the last statement of a killed worker may still be at work."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EMPTY)


@pytest.fixture
def settings(database_url):
    return Settings(
        database_url=database_url,
        signing_key=keys.generate(),
        trusted_keys=keys.parse_signing(keys.generate()).public_text(),
        django_url="http://django.test",
        heartbeat_timeout=timedelta(seconds=1),
        drain_timeout=timedelta(seconds=5),
        pool_min_size=1,
        pool_max_size=5,
    )


@pytest.fixture
def user():
    """Somebody who has no threads yet."""
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def token(user):
    """Return a function that signs a token as Django does."""

    def issue(**changes):
        return house.token(**{"subject": user} | changes)

    return issue


@pytest.fixture
async def client(service, token):
    """The official client, unmodified."""
    async with langgraph_sdk.get_client(url=service.url, api_key=None) as official:
        official.http.client.auth = house.Signing(token)
        yield official


@pytest.fixture
async def http(service, token):
    """Plain HTTP, for what the official client never sends."""
    signing = house.Signing(token)
    async with httpx.AsyncClient(base_url=service.url, auth=signing, verify=False, timeout=30) as plain:
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


@pytest.fixture
async def connections():
    """What a model asks over: LangChain lends its own to others at the same address, in a later loop too."""
    async with httpx.AsyncClient(verify=False) as opened:
        yield opened
