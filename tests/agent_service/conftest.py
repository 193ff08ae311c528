"""An empty migrated database for each test, and settings that name it."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from agent_service import migrating, telemetry
from agent_service.settings import Settings
from shared_schemas import keys

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
    url = make_database()
    asyncio.run(migrating.migrate(url))
    return url


@pytest.fixture
def database_url(migrated_database):
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(EMPTY)
    return migrated_database


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
