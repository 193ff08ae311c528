"""One agent service for the agent streaming protocol."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.agent_service import house


@pytest.fixture(scope="package")
def settings(make_database, migrated_database):
    return house.settings(
        make_database(migrated_database),
        Path(__file__).with_name("langgraph.json"),
        retry_delay=timedelta(milliseconds=10),
    )


@pytest.fixture(scope="package")
def service(settings):
    with house.opened(settings) as served:
        yield served


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
