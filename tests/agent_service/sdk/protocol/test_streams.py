"""What clients reconnect by, and what two tabs see: the stream itself, without a client around it."""

import json
import re
import uuid

import pytest

from agent_service import bootstrap
from agent_service.api import protocol_streams
from agent_service.events import protocol_filter

EVERYTHING = [
    "values",
    "updates",
    "messages",
    "tools",
    "lifecycle",
    "input",
    "checkpoints",
    "tasks",
    "custom",
]
QUESTION = {"messages": [{"role": "user", "content": "Count!"}]}


def is_over(event):
    root = event["method"] == "lifecycle" and not event["params"]["namespace"]
    return root and event["params"]["data"]["event"] != "running"


def ends(runs):
    """Return a condition that is met by the end of the last of so many runs."""
    seen = []

    def until(event):
        if is_over(event):
            seen.append(event)
        return len(seen) == runs

    return until


@pytest.fixture
def thread_id():
    return str(uuid.uuid4())


@pytest.fixture
async def told(command, stream_events, thread_id):
    """Everything that two runs of a thread told."""
    await command(thread_id, "run.start", assistant_id="nested", input=QUESTION)
    await command(thread_id, "run.start", assistant_id="agent", input=QUESTION)
    return await stream_events(thread_id, until=ends(2), channels=EVERYTHING)


async def test_numbers_grow_over_the_runs_of_a_thread(told):
    numbers = [event["seq"] for event in told]

    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**53


async def test_each_event_has_an_id_that_says_when_and_which(told):
    ids = [event["event_id"] for event in told]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"(synth:[0-9a-f-]{36}:)?\d+-\d+", id_) for id_ in ids)


async def test_a_replay_is_the_same_to_the_letter(told, stream_events, thread_id):
    assert await stream_events(thread_id, until=ends(2), channels=EVERYTHING) == told


@pytest.mark.parametrize("named", ["since", "header", "id"])
async def test_behind_any_event_comes_exactly_the_rest(told, stream_events, thread_id, named):
    for place in range(0, len(told) - 1, 9):
        last = told[place]
        position = last["event_id"].rpartition(":")[2] if named == "header" else last["event_id"]
        asked = {"since": last["seq"]} if named == "since" else {"headers": {"Last-Event-ID": position}}
        left = sum(is_over(event) for event in told[place + 1 :])

        rest = await stream_events(thread_id, until=ends(left), channels=EVERYTHING, **asked)

        assert rest == told[place + 1 :]


@pytest.mark.parametrize("channel", EVERYTHING)
async def test_a_channel_alone_tells_what_it_told_among_others(told, stream_events, thread_id, channel):
    alone = await stream_events(
        thread_id, until=ends(2), channels=[channel, "lifecycle"], since=told[0]["seq"]
    )

    methods = {"input": {"input.requested", "input.answered"}}.get(channel, {channel}) | {"lifecycle"}
    assert alone == [event for event in told[1:] if event["method"] in methods]


async def test_two_streams_of_a_tab(told, stream_events, thread_id):
    shown = await stream_events(
        thread_id,
        until=ends(2),
        channels=["values", "checkpoints", "lifecycle", "input", "messages", "tools"],
        namespaces=[[]],
        depth=1,
    )

    assert {event["method"] for event in shown} >= {"values", "checkpoints", "messages", "tools"}
    assert max(len(event["params"]["namespace"]) for event in shown) == 1


async def test_a_namespace_is_found_without_its_task(told, stream_events, thread_id):
    inner = [event for event in told if event["params"]["namespace"] and event["method"] == "messages"]

    shown = await stream_events(
        thread_id,
        until=lambda event: event["event_id"] == inner[-1]["event_id"],
        channels=["messages"],
        namespaces=[["inner"]],
    )

    assert shown == inner


async def test_a_checkpoint_stands_before_its_values(told):
    methods = [event["method"] for event in told if event["method"] in {"checkpoints", "values"}]

    assert all(methods[place - 1] == "checkpoints" for place, name in enumerate(methods) if name == "values")


async def test_a_message_is_told_block_by_block(command, stream_events, thread_id):
    await command(thread_id, "run.start", assistant_id="agent", input=QUESTION)

    events = await stream_events(thread_id, until=ends(1), channels=["messages", "lifecycle"])

    parts = [event["params"]["data"] for event in events if event["method"] == "messages"]
    message = [part for part in parts if part["id"] == parts[0]["id"]]
    assert [part["content"] for part in message if part["event"] == "content-block-finish"] == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_call", "id": "call-1", "name": "add", "args": {"a": 1, "b": 2}},
    ]
    assert (message[0]["event"], message[-1]["event"]) == ("message-start", "message-finish")


async def test_runs_of_the_first_protocol_are_seen_too(client, stream_events):
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "echo", input={"text": "ada"})

    seen = await stream_events(thread["thread_id"], until=ends(1), channels=EVERYTHING)

    assert [event["method"] for event in seen] == ["lifecycle", "values", "values", "lifecycle"]


async def test_an_idle_stream_shows_that_it_lives(http, thread_id, command):
    await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    body = {"channels": ["custom"]}

    async with http.stream("POST", f"/threads/{thread_id}/stream/events", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith(":"):
                break

    assert line == ": heartbeat"
    assert response.headers["cache-control"] == "no-store"


async def test_an_end_is_kept_as_told_before_who_watches_reads_it(client, command, service, query, thread_id):
    started = await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    await client.runs.join(thread_id, started["result"]["run_id"])
    watched = protocol_filter.Filter(channels=protocol_filter.WATCHED)

    async with bootstrap.open_services(service.settings) as services:
        async for event in protocol_streams.read(services, uuid.UUID(thread_id), wanted=watched):
            if is_over(json.loads(event.wire())):
                break
        kept = query("SELECT end_told FROM runs WHERE thread_id = %s", thread_id)

    assert kept == [(True,)]


async def test_a_stream_goes_on_with_the_next_run(http, thread_id, command):
    await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    body = {"channels": ["lifecycle"]}
    ended = 0

    async with http.stream("POST", f"/threads/{thread_id}/stream/events", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and is_over(json.loads(line.removeprefix("data: "))):
                ended += 1
                if ended == 2:
                    break
                await command(thread_id, "run.start", assistant_id="echo", input={"text": "grace"})

    assert ended == 2


async def test_a_thread_of_somebody_else_is_not_found(http, thread_id, command, token):
    await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    headers = {"Authorization": f"Bearer {token(subject='somebody else')}"}

    answer = await http.post(
        f"/threads/{thread_id}/stream/events", json={"channels": ["values"]}, headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"channels": []}, id="no channel"),
        pytest.param({"channels": ["values"], "since": 2**60}, id="too far"),
        pytest.param({"channels": ["values"], "depth": -1}, id="negative depth"),
        pytest.param({"channels": ["values"], "namespaces": ["inner"]}, id="no list of lists"),
    ],
)
async def test_a_subscription_that_makes_no_sense_is_refused(client, http, body):
    thread = await client.threads.create()

    answer = await http.post(f"/threads/{thread['thread_id']}/stream/events", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
