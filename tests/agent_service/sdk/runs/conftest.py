"""One agent service for runs and streams, and gates that hold its graphs."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests import serving
from tests.agent_service import house

PAGE = "https://chat.example"


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Somebody who takes webhooks."""

    url: str
    bodies: list


@pytest.fixture(scope="package")
def receiver():
    bodies = []

    async def take(request: Request) -> Response:
        bodies.append(await request.json())
        return Response(status_code=204)

    with serving.serving(Starlette(routes=[Route("/hook", take, methods=["POST"])])) as url:
        yield Receiver(url=f"{url}/hook", bodies=bodies)


@pytest.fixture(scope="package")
def settings(make_database, migrated_database, receiver):
    return house.settings(
        make_database(migrated_database),
        Path(__file__).with_name("langgraph.json"),
        webhook_urls=(receiver.url,),
        cors_origins=(PAGE,),
        streams_per_run=3,
        streams_per_caller=5,
        stream_patience=timedelta(seconds=10),
    )


@pytest.fixture(scope="package")
def service(settings):
    with house.opened(settings) as served:
        yield served


@pytest.fixture
async def connect(service, token):
    """Return a function that opens the official client, unmodified, for somebody's token."""
    clients = []

    async def open_one(**changes):
        clients.append(house.client_of(service.url, token(**changes)))
        return clients[-1]

    yield open_one
    for client in clients:
        await client.aclose()


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
