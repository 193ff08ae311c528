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


@pytest.mark.parametrize("following", ["join", "stream"])
async def test_whoever_follows_a_run_that_is_taken_back_comes_to_an_end(
    client, http, thread_id, run_id, following
):
    async with http.stream("GET", f"/threads/{thread_id}/runs/{run_id}/{following}") as response:
        await client.runs.cancel(thread_id, run_id, wait=True, action="rollback")
        await response.aread()

    assert response.status_code == 200
    assert following == "stream" or response.json()["__error__"]["error"] == "not_found"
