"""How many may follow at once: a WebSocket counts like a stream."""

import asyncio
import contextlib
import uuid

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent_service import app
from tests import serving


class Reader:
    """Somebody who follows threads of a service."""

    def __init__(self, url, token):
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    async def make_thread(self):
        async with httpx.AsyncClient(headers=self.headers, verify=False, timeout=30) as http:
            return (await http.post(f"{self.url}/threads", json={})).json()["thread_id"]

    @contextlib.asynccontextmanager
    async def stream(self, thread_id):
        path = f"{self.url}/threads/{thread_id}/stream/events"
        async with (
            httpx.AsyncClient(headers=self.headers, verify=False, timeout=30) as http,
            http.stream("POST", path, json={"channels": ["values"]}) as response,
        ):
            yield response

    def socket(self, thread_id):
        address = f"{self.url.replace('http', 'ws', 1)}/threads/{thread_id}/stream/events"
        return connect(address, additional_headers=self.headers)

    async def come_in(self, thread_id):
        """Connect, as soon as the service has seen that somebody left."""
        while True:
            with contextlib.suppress(InvalidStatus):
                async with self.socket(thread_id):
                    return


@pytest.mark.parametrize(
    ("limit", "is_other_thread", "is_other_caller"),
    [
        pytest.param("streams_per_run", False, False, id="of a thread"),
        pytest.param("streams_per_caller", True, False, id="of a caller"),
        pytest.param("streams", True, True, id="of a process"),
    ],
)
async def test_so_many_follow_and_no_more(settings, token, limit, is_other_thread, is_other_caller):
    application = app.create_app(settings.model_copy(update={limit: 2}), with_worker=False)
    with serving.serving(application) as url:
        reader = Reader(url, token())
        late = Reader(url, token(subject=f"user-{uuid.uuid4()}")) if is_other_caller else reader
        thread_id = await reader.make_thread()
        wanted = await late.make_thread() if is_other_thread else thread_id

        async with reader.stream(thread_id) as streaming:
            async with reader.socket(thread_id):
                async with late.stream(wanted) as refused:
                    pass
                with pytest.raises(InvalidStatus) as denial:
                    await late.socket(wanted)
            async with asyncio.timeout(30):
                await late.come_in(wanted)

    assert (streaming.status_code, refused.status_code) == (200, 429)
    assert refused.headers["retry-after"] == "1"
    assert denial.value.response.status_code == 429
    assert denial.value.response.headers["retry-after"] == "1"
