import asyncio
import json

import pytest

ENDLESS = {"assistant_id": "endless", "input": {"text": ""}, "stream_mode": "custom"}


async def events_of(stream):
    return [part async for part in stream]


@pytest.fixture
async def counted(client, thread_id):
    """A run that ended after twenty events of its own."""
    run = await client.runs.create(
        thread_id, "counting", input={"text": ""}, stream_mode=["custom", "values"]
    )
    await client.runs.join(thread_id, run["run_id"])
    return run


async def test_a_stream_begins_with_metadata_and_ends_with_end(client, thread_id):
    parts = await events_of(client.runs.stream(thread_id, "echo", input={"text": "ada"}))

    assert parts[0].event == "metadata"
    assert set(parts[0].data) >= {"run_id", "attempt"}
    assert parts[-1].event == "end"
    assert [part.data for part in parts if part.event == "values"][-1]["text"] == "ADA"


async def test_the_run_has_ended_when_its_stream_has(client, thread_id):
    parts = await events_of(client.runs.stream(thread_id, "echo", input={"text": "ada"}))

    run = await client.runs.get(thread_id, parts[0].data["run_id"])
    assert run["status"] == "success"


async def test_a_stream_tells_the_runs_id_before_its_first_event(client, thread_id):
    seen = []

    await events_of(client.runs.stream(thread_id, "echo", input={"text": "ada"}, on_run_created=seen.append))

    assert seen[0]["thread_id"] == thread_id


async def test_tokens_are_streamed_as_messages(client, thread_id):
    stream = client.runs.stream(
        thread_id,
        "chatting",
        input={"messages": [{"role": "user", "content": "count"}]},
        stream_mode="messages-tuple",
    )

    parts = [part for part in await events_of(stream) if part.event == "messages"]

    assert "".join(part.data[0]["content"] for part in parts) == "one two three"
    assert parts[0].data[1]["langgraph_node"] == "chat"


async def test_an_interrupt_is_in_the_stream(client, thread_id):
    stream = client.runs.stream(
        thread_id, "asking", input={"text": "Sure?"}, stream_mode=["updates", "values"]
    )

    parts = await events_of(stream)

    shown = {part.event for part in parts if "__interrupt__" in (part.data or {})}
    assert "updates" in shown


async def test_a_failure_is_an_error_event(client, thread_id):
    parts = await events_of(client.runs.stream(thread_id, "failing", input={"text": "broken"}))

    (failure,) = [part for part in parts if part.event == "error"]
    assert failure.data["error"] == "graph_failed"


async def test_every_event_has_an_id_of_its_own(client, thread_id, counted):
    parts = await events_of(client.runs.join_stream(thread_id, counted["run_id"], last_event_id="-1"))

    ids = [part.id for part in parts]
    assert len(ids) > 20
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("last_event_id", ["-1", None])
async def test_a_join_begins_at_the_start(client, thread_id, counted, last_event_id):
    stream = client.runs.join_stream(thread_id, counted["run_id"], last_event_id=last_event_id)

    parts = await events_of(stream)

    assert parts[0].event == "metadata"
    assert [part.data for part in parts if part.event == "custom"] == list(range(20))


async def test_a_join_from_any_id_gives_exactly_the_rest(client, thread_id, counted):
    whole = await events_of(client.runs.join_stream(thread_id, counted["run_id"], last_event_id="-1"))

    for position in range(0, len(whole), 5):
        stream = client.runs.join_stream(thread_id, counted["run_id"], last_event_id=whole[position].id)
        assert await events_of(stream) == whole[position + 1 :]


async def test_a_join_from_the_last_id_ends(http, thread_id, counted):
    path = f"/threads/{thread_id}/runs/{counted['run_id']}/stream"
    whole = (await http.get(path)).text
    last = whole.split("id: ")[-1].strip()

    answer = await http.get(path, headers={"Last-Event-ID": last})

    assert answer.status_code == 200
    assert "event:" not in answer.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param([("stream_mode", "custom")], {"custom"}, id="one"),
        pytest.param(
            [("stream_mode", "custom"), ("stream_mode", "values")], {"custom", "values"}, id="repeated"
        ),
        pytest.param([("stream_mode", json.dumps(["custom", "values"]))], {"custom", "values"}, id="json"),
        pytest.param([("stream_mode", "")], {"custom", "values"}, id="empty"),
        pytest.param([], {"custom", "values"}, id="absent"),
        pytest.param([("stream_mode", "updates")], set(), id="one the run does not emit"),
    ],
)
async def test_a_join_gives_the_modes_it_asks_for(http, thread_id, counted, query, expected):
    answer = await http.get(f"/threads/{thread_id}/runs/{counted['run_id']}/stream", params=query)

    events = {line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")}
    assert events == expected | {"metadata", "end"}


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        pytest.param({"stream_mode": "everything"}, {}, id="unknown mode"),
        pytest.param({"stream_mode": "[["}, {}, id="broken list"),
        pytest.param({}, {"Last-Event-ID": "yesterday"}, id="no id"),
        pytest.param({}, {"Last-Event-ID": "9" * 30}, id="an id too large"),
    ],
)
async def test_a_join_that_makes_no_sense_is_refused(http, thread_id, counted, parameters, headers):
    path = f"/threads/{thread_id}/runs/{counted['run_id']}/stream"

    answer = await http.get(path, params=parameters, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_the_answer_is_a_stream_that_no_proxy_holds_back(http, thread_id, counted):
    path = f"/threads/{thread_id}/runs/{counted['run_id']}"

    answer = await http.get(f"{path}/stream")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["content-location"] == path
    assert answer.headers["location"] == f"{path}/stream"


async def test_an_idle_stream_shows_that_it_lives(http, thread_id):
    body = ENDLESS

    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith(":"):
                break

    assert line == ": heartbeat"


async def test_a_run_goes_on_when_its_reader_leaves(client, http, thread_id):
    body = ENDLESS
    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line == "event: custom":
                break

    (run,) = await client.runs.list(thread_id)

    assert run["status"] == "running"


async def test_a_run_is_cancelled_when_its_reader_leaves_if_asked_for(client, http, thread_id):
    body = ENDLESS | {"on_disconnect": "cancel"}
    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line == "event: custom":
                break

    (run,) = await client.runs.list(thread_id)
    async with asyncio.timeout(60):
        await client.runs.join(thread_id, run["run_id"])

    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
