"""One agent service for all tests of its API."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.agent_service import house


@pytest.fixture(scope="package")
def settings(make_database, migrated_database):
    return house.settings(
        make_database(migrated_database),
        Path(__file__).with_name("langgraph.json"),
        stream_heartbeat=timedelta(milliseconds=200),
    )


@pytest.fixture(scope="package")
def service(settings):
    with house.opened(settings) as served:
        yield served
