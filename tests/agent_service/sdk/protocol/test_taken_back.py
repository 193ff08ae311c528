"""Runs that are taken back, or deleted, while somebody follows them."""

import asyncio
import uuid

import pytest


@pytest.fixture
def thread_id():
    return str(uuid.uuid4())


@pytest.fixture
async def run_id(command, thread_id):
    """A run that is at work, and works for ever."""
    started = await command(thread_id, "run.start", assistant_id="endless", input={"text": ""})
    return started["result"]["run_id"]


def is_over(event):
    return event["method"] == "lifecycle" and event["params"]["data"]["event"] != "running"


@pytest.fixture
def follow(stream_events, thread_id):
    """Return a function that follows the thread to so many ends, and one that waits until it is at work."""

    def start(ends):
        seen, at_work = [], asyncio.Event()

        def until(event):
            if event["method"] == "custom":
                at_work.set()
            seen.extend([event] if is_over(event) else [])
            return len(seen) == ends

        channels = ["custom", "lifecycle"]
        return asyncio.create_task(stream_events(thread_id, until=until, channels=channels)), at_work

    return start


async def test_a_thread_is_told_of_the_end_of_a_run_that_is_taken_back(client, follow, thread_id, run_id):
    following, at_work = follow(1)
    await at_work.wait()

    await client.runs.cancel(thread_id, run_id, wait=True, action="rollback")
    async with asyncio.timeout(30):
        events = await following

    assert events[-1]["params"]["data"]["run_id"] == run_id
    assert len({event["seq"] for event in events}) == len(events)


async def test_the_next_run_is_followed_behind_one_that_was_taken_back(
    client, command, follow, thread_id, run_id
):
    following, at_work = follow(2)
    await at_work.wait()

    await client.runs.cancel(thread_id, run_id, wait=True, action="rollback")
    await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    async with asyncio.timeout(30):
        events = await following

    assert [event["params"]["data"]["event"] for event in events if is_over(event)][1:] == ["completed"]


@pytest.fixture
async def ended(client, command, thread_id):
    """A thread with a run that has ended."""
    started = await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    await client.runs.join(thread_id, started["result"]["run_id"])
    return started["result"]["run_id"]


async def read_to_its_end(response, begun):
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            begun.set()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "stream/events", {"channels": ["lifecycle", "values"]}, id="protocol"),
        pytest.param("GET", "stream", None, id="thread"),
    ],
)
async def test_whoever_follows_a_thread_that_is_deleted_comes_to_an_end(
    client, http, thread_id, ended, method, path, body
):
    begun, headers = asyncio.Event(), {"Last-Event-ID": "-1"}
    async with (
        asyncio.timeout(30),
        http.stream(method, f"/threads/{thread_id}/{path}", json=body, headers=headers) as response,
    ):
        reading = asyncio.create_task(read_to_its_end(response, begun))
        await begun.wait()
        await client.threads.delete(thread_id)
        await reading

    assert response.status_code == 200


async def test_whoever_follows_a_thread_sees_what_comes_behind_a_run_that_is_deleted(
    client, command, follow, thread_id, ended
):
    following, _ = follow(2)

    await client.runs.delete(thread_id, ended)
    second = await command(thread_id, "run.start", assistant_id="echo", input={"text": "grace"})
    await client.runs.join(thread_id, second["result"]["run_id"])
    await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    async with asyncio.timeout(30):
        events = await following

    assert second["result"]["run_id"] in {
        event["params"]["data"]["run_id"] for event in events if is_over(event)
    }


@pytest.mark.parametrize("following", ["join", "stream"])
async def test_whoever_follows_a_run_that_is_taken_back_comes_to_an_end(
    client, http, thread_id, run_id, following
):
    async with http.stream("GET", f"/threads/{thread_id}/runs/{run_id}/{following}") as response:
        await client.runs.cancel(thread_id, run_id, wait=True, action="rollback")
        await response.aread()

    assert response.status_code == 200
    assert following == "stream" or response.json()["__error__"]["error"] == "not_found"
