"""One agent service for threads and assistants."""

import uuid
from pathlib import Path

import pytest

from tests.agent_service import house


@pytest.fixture(scope="package")
def settings(make_database, migrated_database):
    return house.settings(make_database(migrated_database), Path(__file__).with_name("langgraph.json"))


@pytest.fixture(scope="package")
def service(settings):
    with house.opened(settings) as served:
        yield served


@pytest.fixture
def headers(token):
    return house.bearer(token())


@pytest.fixture
async def stranger(service):
    """The client of somebody else."""
    async with house.client_of(service.url, house.token(f"user-{uuid.uuid4()}")) as official:
        yield official
