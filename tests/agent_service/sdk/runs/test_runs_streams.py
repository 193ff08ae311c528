"""Streams of runs in every mode, how many there may be, and pages of other origins."""

import asyncio
import contextlib
import itertools
import json
import socket
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.agent_service.sdk.runs import conftest

MODES = [
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "events",
    "debug",
    "tasks",
    "checkpoints",
    "custom",
]


async def parts_of(stream):
    return [part async for part in stream]


@pytest.mark.parametrize(
    ("mode", "graph", "given", "seen"),
    [
        pytest.param("values", "adding", {}, {"values"}, id="values"),
        pytest.param("updates", "adding", {}, {"updates"}, id="updates"),
        pytest.param("debug", "adding", {}, {"debug"}, id="debug"),
        pytest.param("tasks", "adding", {}, {"tasks"}, id="tasks"),
        pytest.param("checkpoints", "adding", {}, {"checkpoints"}, id="checkpoints"),
        pytest.param("custom", "holding", {"hold": False}, {"custom"}, id="custom"),
        pytest.param("events", "adding", {}, {"events"}, id="events"),
        pytest.param("lifecycle", "adding", {}, {"lifecycle"}, id="lifecycle"),
        pytest.param(
            "messages",
            "chatting",
            {"messages": [{"role": "user", "content": "count"}]},
            {"messages/metadata", "messages/partial"},
            id="messages",
        ),
        pytest.param(
            "messages-tuple",
            "chatting",
            {"messages": [{"role": "user", "content": "count"}]},
            {"messages"},
            id="messages-tuple",
        ),
    ],
)
async def test_a_mode_gives_its_events_and_no_others(client, mode, graph, given, seen):
    parts = await parts_of(client.runs.stream(None, graph, input=given, stream_mode=mode))

    assert {part.event for part in parts} - {"metadata", "end", "messages/complete"} == seen


async def test_all_modes_at_once(client, thread_id):
    run = await client.runs.create(thread_id, "adding", input={}, stream_mode=MODES)
    await client.runs.join(thread_id, run["run_id"])

    repeated = await parts_of(client.runs.join_stream(thread_id, run["run_id"], stream_mode=MODES))
    in_json = await parts_of(
        client.runs.join_stream(thread_id, run["run_id"], params={"stream_mode": json.dumps(MODES)})
    )
    unnamed = await parts_of(client.runs.join_stream(thread_id, run["run_id"], stream_mode=""))

    assert repeated == in_json == unnamed
    assert {"values", "updates", "events", "debug", "tasks", "checkpoints"} <= {
        part.event for part in repeated
    }
    assert len({part.id for part in repeated}) == len(repeated)


async def test_events_tell_of_everything_that_runs_in_the_graph(client):
    parts = await parts_of(
        client.runs.stream(
            None,
            "chatting",
            input={"messages": [{"role": "user", "content": "count"}]},
            stream_mode=["events", "values"],
        )
    )

    kinds = {part.data["event"] for part in parts if part.event == "events"}
    assert {"on_chain_start", "on_chat_model_stream", "on_chain_end"} <= kinds
    assert [part.data for part in parts if part.event == "values"][-1]["messages"][-1][
        "content"
    ] == "one two three"


async def test_a_failure_under_events_is_the_runs_failure(client, thread_id):
    parts = await parts_of(
        client.runs.stream(thread_id, "failing", input={}, stream_mode=["events", "values"])
    )

    assert [part.data["error"] for part in parts if part.event == "error"] == ["graph_failed"]


async def test_the_life_of_a_run_is_told(client, thread_id):
    parts = await parts_of(client.runs.stream(thread_id, "asking", input={}, stream_mode="lifecycle"))

    told = [part.data["event"] for part in parts if part.event == "lifecycle"]
    assert told == ["started", "interrupted"]


async def test_one_run_has_so_many_streams_and_no_more(client, http, thread_id):
    run = await client.runs.create(thread_id, "holding", input={})
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    async with asyncio.TaskGroup() as waiting:
        waits = [waiting.create_task(http.get(f"{path}/join")) for _ in range(8)]
        for refused in itertools.islice(asyncio.as_completed(waits), 5):
            await refused
        await client.runs.cancel(thread_id, run["run_id"])

    codes = sorted(wait.result().status_code for wait in waits)
    refused = next(wait.result() for wait in waits if wait.result().status_code == 429)
    assert codes == [200] * 3 + [429] * 5
    assert refused.json()["code"] == "too_many_requests"
    assert refused.headers["retry-after"]
    assert (await http.get(f"{path}/join")).status_code == 200


async def test_a_run_that_nobody_could_follow_is_not_made(http, service, query, user):
    with psycopg.connect(service.settings.database_url.get_secret_value()) as holder:
        holder.execute("LOCK TABLE threads IN EXCLUSIVE MODE")
        asked = {"assistant_id": "adding", "input": {}}
        waits = [asyncio.create_task(http.post("/runs/wait", json=asked)) for _ in range(8)]
        async with asyncio.timeout(20):
            for refused in itertools.islice(asyncio.as_completed(waits), 3):
                assert (await refused).status_code == 429

    codes = sorted([(await wait).status_code for wait in waits])
    assert codes == [200] * 5 + [429] * 3
    assert query("SELECT count(*) FROM runs WHERE owner = %s", user) == [(5,)]


def stall(service, token, path):
    """Ask for a stream, and read no more than its beginning."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = urlsplit(service.url)
    connection.connect((address.hostname, address.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n\r\n".encode())
    # On a slow machine it may have been dropped by now.
    with contextlib.suppress(ConnectionResetError):
        connection.recv(100)
    return connection


async def test_a_client_that_does_not_read_is_dropped(client, http, service, token, thread_id):
    run = await client.runs.create(thread_id, "flooding", input={}, stream_mode="custom")
    await client.runs.join(thread_id, run["run_id"])
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    answers = []
    with contextlib.ExitStack() as stack:
        async with asyncio.timeout(60):
            # Three hold all seats; on a slow machine the first may be dropped before the third is there.
            while 429 not in answers:
                stack.enter_context(await asyncio.to_thread(stall, service, token, f"{path}/stream"))
                answers.append((await http.get(f"{path}/join")).status_code)
            while answers[-1] == 429:
                answers.append((await http.get(f"{path}/join")).status_code)

    assert answers[-1] == 200


async def test_a_page_of_an_allowed_origin_sees_where_its_run_is(http):
    allowed = await http.options(
        "/runs", headers={"Origin": conftest.PAGE, "Access-Control-Request-Method": "POST"}
    )
    answer = await http.post(
        "/runs", json={"assistant_id": "adding", "input": {}}, headers={"Origin": conftest.PAGE}
    )

    assert allowed.headers["access-control-allow-origin"] == conftest.PAGE
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"content-location", "location", "x-request-id"} <= exposed


async def test_a_page_of_another_origin_is_not_let_in(http):
    answer = await http.get("/info", headers={"Origin": "https://evil.example"})

    assert "access-control-allow-origin" not in answer.headers
