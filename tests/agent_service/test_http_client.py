"""What the client makes of connections that break."""

import httpx
import pytest

from agent_service import http_client


@pytest.fixture
async def client():
    """A client of a server that resets: its `socket` is gone when anyio asks it."""

    async def reset(request):
        gone = None
        return getattr(gone, request.url.path.removeprefix("/"))

    async with http_client.Client(transport=httpx.MockTransport(reset)) as opened:
        yield opened


async def test_a_connection_that_broke_at_once_could_not_be_made(client):
    with pytest.raises(httpx.ConnectError, match="broke") as raised:
        await client.get("http://django/getpeername")

    assert raised.value.request.url.host == "django"


async def test_other_errors_stay_what_they_are(client):
    with pytest.raises(AttributeError, match="nothing_of_it"):
        await client.get("http://django/nothing_of_it")
