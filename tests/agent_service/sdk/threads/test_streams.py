import asyncio
import json
from contextlib import aclosing

import pytest

from tests.agent_service import house


async def take(stream, count):
    """Return the next parts of a stream that does not end."""
    parts = []
    async with asyncio.timeout(20), aclosing(stream):
        async for part in stream:
            parts.append(part)
            if len(parts) == count:
                return parts
    raise AssertionError(parts)


async def until_done(stream, runs=1):
    """Return the parts of a stream until so many runs have ended."""
    parts = []
    async with asyncio.timeout(20), aclosing(stream):
        async for part in stream:
            parts.append(part)
            runs -= part.event == "metadata" and part.data.get("status") == "run_done"
            if not runs:
                return parts
    raise AssertionError(parts)


def last_values(parts):
    """Return what each run's values were in the end."""
    found = {}
    current = None
    for part in parts:
        if part.event == "metadata":
            current = part.data["run_id"]
        elif part.event == "values":
            found[current] = part.data
    return found


async def test_one_stream_shows_all_runs_of_a_thread(client, thread_id):
    stream = await client.threads.join_stream(thread_id, last_event_id="-1")
    reading = asyncio.create_task(until_done(stream, runs=2))

    first = await client.runs.create(thread_id, "adding", input={"text": "a"})
    await client.runs.join(thread_id, first["run_id"])
    second = await client.runs.create(thread_id, "adding", input={"text": "b"})
    parts = await reading

    assert list(last_values(parts)) == [first["run_id"], second["run_id"]]
    assert last_values(parts)[second["run_id"]]["text"] == "b"


async def test_a_stream_goes_on_with_runs_that_came_later(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})

    whole = await until_done(await client.threads.join_stream(thread_id, last_event_id="-1"))
    later = await client.runs.create(thread_id, "adding", input={"text": "b"})
    await client.runs.join(thread_id, later["run_id"])
    behind = await until_done(await client.threads.join_stream(thread_id, last_event_id=whole[-1].id))

    assert later["run_id"] not in {part.data.get("run_id") for part in whole}
    assert behind[0].data["run_id"] == later["run_id"]


async def test_a_run_that_goes_on_is_shown_from_its_start(client, thread_id):
    run = await client.runs.create(thread_id, "holding", input={"text": "a"})

    (first,) = await take(await client.threads.join_stream(thread_id), 1)

    assert (first.event, first.data["run_id"]) == ("metadata", run["run_id"])
    await client.runs.cancel(thread_id, run["run_id"], wait=True)


async def test_a_stream_goes_on_from_any_of_its_ids(client, thread_id):
    for text in ("a", "b"):
        await client.runs.wait(thread_id, "adding", input={"text": text})
    whole = await until_done(await client.threads.join_stream(thread_id, last_event_id="-1"), runs=2)
    ids = [part.id for part in whole]

    for place in range(len(whole) - 1):
        left = len(whole) - place - 1
        rest = await take(await client.threads.join_stream(thread_id, last_event_id=ids[place]), left)
        assert rest == whole[place + 1 :]

    assert len(set(ids)) == len(ids)


async def test_the_lifecycle_is_that_runs_begin_and_end(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})

    parts = await until_done(
        await client.threads.join_stream(thread_id, last_event_id="-1", stream_mode="lifecycle")
    )

    *begins, end = parts
    assert {part.event for part in parts} == {"metadata"}
    assert end.data["status"] == "run_done"
    # More than one, where the run is handed on after every step.
    assert {part.data["attempt"] for part in begins} == {1}


@pytest.mark.parametrize(
    "query",
    [
        pytest.param([("stream_mode", "lifecycle"), ("stream_mode", "state_update")], id="repeated"),
        pytest.param([("stream_modes", json.dumps(["lifecycle", "state_update"]))], id="json"),
    ],
)
async def test_several_modes_are_taken_in_every_form(http, client, thread_id, query):
    run = await client.runs.create(
        thread_id, "adding", input={"text": "a"}, stream_mode=["values", "updates"]
    )
    await client.runs.join(thread_id, run["run_id"])
    events = set()

    headers = {"Last-Event-ID": "-1"}
    async with http.stream("GET", f"/threads/{thread_id}/stream", params=query, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                events.add(line.removeprefix("event: "))
            if "run_done" in line:
                break

    assert events == {"metadata", "values"}


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        pytest.param({"stream_mode": "everything"}, {}, id="mode"),
        pytest.param({}, {"Last-Event-ID": "yesterday"}, id="id"),
        pytest.param({}, {"Last-Event-ID": f"1-{'9' * 30}"}, id="an id too large"),
    ],
)
async def test_a_stream_that_makes_no_sense_is_refused(http, thread_id, parameters, sent):
    answer = await http.get(f"/threads/{thread_id}/stream", params=parameters, headers=sent)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_the_stream_of_a_deleted_thread_ends(client, thread_id):
    run = await client.runs.create(thread_id, "adding", input={"text": "a"})
    stream = await client.threads.join_stream(thread_id, last_event_id="-1")
    await client.runs.join(thread_id, run["run_id"])

    async with asyncio.timeout(20), aclosing(stream):
        async for part in stream:
            if part.data.get("status") == "run_done":
                await client.threads.delete(thread_id)


async def test_the_stream_of_somebody_elses_thread_is_not_there(service, http, thread_id):
    answer = await http.get(
        f"/threads/{thread_id}/stream", headers=house.bearer(house.token("somebody else"))
    )

    assert answer.status_code == 404
