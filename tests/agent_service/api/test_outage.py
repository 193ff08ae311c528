"""PostgreSQL goes away and comes back."""

import asyncio
import json
from datetime import timedelta

import httpx
import langgraph_sdk
import psycopg
import pytest
from psycopg import sql
from websockets.asyncio.client import connect

from agent_service import app
from tests import serving
from tests.agent_service import locks


@pytest.fixture
def postgres(settings, make_database, migrated_database, server_url):
    """A database that can be closed to everybody, and settings that name it."""
    url = make_database(migrated_database)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def admit(*, connections):
        with psycopg.connect(server_url, autocommit=True) as admin:
            statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            admin.execute(statement.format(sql.Identifier(name), sql.SQL("true" if connections else "false")))
            if not connections:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )

    return admit, settings.model_copy(update={"database_url": type(settings.database_url)(url)})


async def test_the_service_says_so_and_recovers_by_itself(postgres, token):
    admit, settings = postgres
    application = app.create_app(
        settings.model_copy(update={"pool_timeout": timedelta(seconds=0.5)}), with_worker=False
    )
    transport = httpx.ASGITransport(application)
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(base_url="http://agents.test", transport=transport, headers=headers) as http,
    ):
        before = await http.post("/threads", json={})

        admit(connections=False)
        health, refused = await http.get("/ok"), await http.post("/threads", json={})
        admit(connections=True)
        path = f"/threads/{before.json()['thread_id']}"
        async with asyncio.timeout(30):
            # Each waits for a connection, and the pool tries to make one about every second.
            while (after := await http.get(path)).status_code == 503:
                pass

    assert (health.status_code, refused.status_code) == (503, 503)
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("unavailable", "2")
    assert after.status_code == 200


@pytest.fixture
def restart(postgres):
    """Return a function that takes PostgreSQL away for a moment."""
    admit, _ = postgres

    async def run():
        admit(connections=False)
        await asyncio.sleep(0.7)  # longer than the first repetition of a read
        admit(connections=True)

    return run


@pytest.fixture
def kill_in_the_middle(postgres):
    """Return a function that holds up all statements on tables, and kills them once there are so many."""
    _, settings = postgres

    async def kill(number, *tables, held_up):
        url = settings.database_url.get_secret_value()
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
            connection.transaction(),
        ):
            await connection.execute(
                sql.SQL("LOCK {}").format(sql.SQL(",").join(map(sql.Identifier, tables)))
            )
            held_up.set()
            waiting = await locks.held_up(connection, number)
            await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [waiting])

    return kill


@pytest.fixture
def headers(token):
    return {"Authorization": f"Bearer {token()}"}


@pytest.fixture
def url(postgres):
    _, settings = postgres
    with serving.serving(app.create_app(settings)) as address:
        yield address


@pytest.fixture
async def official(url, headers):
    async with langgraph_sdk.get_client(url=url, headers=headers, api_key=None) as client:
        yield client


class Followers:
    """Everything that can follow one run, at once."""

    def __init__(self, url, headers, official, run):
        self.url, self.headers, self.official = url, headers, official
        self.thread_id, self.run_id = run["thread_id"], run["run_id"]
        self.held = [asyncio.Event() for _ in range(4)]

    async def stream(self):
        seen = []
        async for part in self.official.runs.join_stream(self.thread_id, self.run_id, stream_mode="custom"):
            seen.append(part.data if part.event == "custom" else part.event)
            self.held[0].set()
        return [item for item in seen if item in {"held", "released"}]

    async def thread_stream(self):
        seen = []
        async for part in await self.official.threads.join_stream(self.thread_id, last_event_id="-"):
            self.held[1].set()
            if part.event == "custom":
                seen.append(part.data)
            if isinstance(part.data, dict) and part.data.get("status") == "run_done":
                return seen
        raise AssertionError("the stream ended")

    async def protocol(self):
        path = f"{self.url}/threads/{self.thread_id}/stream/events"
        body = {"channels": ["custom", "lifecycle"]}
        async with (
            httpx.AsyncClient(headers=self.headers, verify=False, timeout=30) as http,
            http.stream("POST", path, json=body) as response,
        ):
            lines = (line.removeprefix("data: ") async for line in response.aiter_lines())
            return await self._read((json.loads(line) async for line in lines if line[:1] == "{"), 2)

    async def socket(self):
        address = f"{self.url.replace('http', 'ws', 1)}/threads/{self.thread_id}/stream/events"
        async with connect(address, additional_headers=self.headers) as websocket:
            params = {"channels": ["custom", "lifecycle"]}
            await websocket.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": params}))
            return await self._read((json.loads(text) async for text in websocket), 3)

    async def _read(self, messages, place):
        seen = []
        async for message in messages:
            data = message.get("params", {}).get("data", {})
            if message.get("method") == "custom":
                seen.append(data["payload"])
                self.held[place].set()
            if message.get("method") == "lifecycle" and data["event"] != "running":
                return [*seen, data["event"]]
        raise AssertionError("the stream ended")


async def test_whoever_follows_a_run_does_not_notice_that_postgresql_restarts(
    url, headers, official, restart, kill_in_the_middle, tmp_path
):
    gate = tmp_path / "gate"
    thread = await official.threads.create()
    run = await official.runs.create(
        thread["thread_id"], "held", input={"text": str(gate)}, stream_mode=["custom", "values"]
    )
    all_of_it = Followers(url, headers, official, run)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        joining = tasks.create_task(official.runs.join(thread["thread_id"], run["run_id"]))
        following = [
            tasks.create_task(follow())
            for follow in (
                all_of_it.stream,
                all_of_it.thread_stream,
                all_of_it.protocol,
                all_of_it.socket,
            )
        ]
        for held in all_of_it.held:
            await held.wait()
        await kill_in_the_middle(4, "runs", "run_events", "threads", held_up=asyncio.Event())
        await restart()
        gate.touch()

    everything = ["held", "released"]
    assert [task.result() for task in following] == [
        everything,
        everything,
        [*everything, "completed"],
        [*everything, "completed"],
    ]
    assert joining.result()["answers"] == ["released"]


async def test_a_read_whose_connection_is_killed_in_the_middle_is_done_again(
    url, official, kill_in_the_middle
):
    thread = await official.threads.create()
    path = f"/threads/{thread['thread_id']}"

    held_up = asyncio.Event()

    killing = asyncio.create_task(kill_in_the_middle(2, "threads", held_up=held_up))
    await held_up.wait()
    found, refused = await asyncio.gather(
        official.http.client.get(path), official.http.client.patch(path, json={"metadata": {"a": 1}})
    )
    await killing

    assert (found.status_code, refused.status_code) == (200, 503)
    assert refused.headers["retry-after"] == "2"
