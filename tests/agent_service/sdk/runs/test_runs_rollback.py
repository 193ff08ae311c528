"""Runs that are taken back, by a new run or by a person."""

import asyncio
from contextlib import suppress

import httpx
import pytest
from langgraph_sdk import errors


async def checkpoints_of(client, thread_id):
    return [state["checkpoint_id"] for state in await client.threads.get_history(thread_id, limit=100)]


@pytest.fixture
async def used(client, thread_id):
    """A thread with a past."""
    await client.runs.wait(thread_id, "adding", input={})
    return thread_id


async def test_a_rolled_back_run_leaves_the_thread_as_it_was(client, used, begun, query):
    before, past = await client.threads.get(used), await checkpoints_of(client, used)
    run = await begun(used, "holding", {})

    await client.runs.cancel(used, run["run_id"], wait=True, action="rollback")

    after = await client.threads.get(used)
    assert (after["status"], after["values"], after["interrupts"]) == (
        before["status"],
        before["values"],
        before["interrupts"],
    )
    assert await checkpoints_of(client, used) == past
    assert len(await client.runs.list(used)) == 1
    assert query("SELECT count(*) FROM run_events WHERE run_id = %s", run["run_id"]) == [(0,)]


async def test_a_new_run_takes_the_unfinished_ones_back(client, used, begun):
    await begun(used, "holding", {})
    await client.runs.create(used, "adding", input={})

    result = await client.runs.wait(used, "adding", input={}, multitask_strategy="rollback")

    assert result == {"trail": ["first", "second", "first", "second"]}
    assert len(await client.runs.list(used)) == 2


async def test_a_question_comes_back_when_its_answer_is_taken_back(client, thread_id, begun):
    asked = await client.runs.wait(thread_id, "asking_hold", input={"trail": []})
    state = await client.threads.get_state(thread_id)
    run = await client.runs.create(thread_id, "asking_hold", command={"resume": "yes"}, stream_mode="custom")
    async with asyncio.timeout(30):
        async for part in client.runs.join_stream(thread_id, run["run_id"]):
            if part.event == "custom":
                break

    await client.runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")

    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    assert list(thread["interrupts"].values()) == [asked["__interrupt__"]]
    assert await client.threads.get_state(thread_id) == state
    result = await client.runs.wait(
        thread_id, "asking_hold", command={"resume": "no", "update": {"hold": False}}
    )
    assert result["trail"] == ["no", "held"]


async def test_many_rollbacks_at_once_leave_one_run(client, used):
    async def submit():
        return await client.runs.create(used, "adding", input={}, multitask_strategy="rollback")

    submitted = await asyncio.gather(*(submit() for _ in range(8)))
    async with asyncio.timeout(60):
        for run in submitted:
            # Some are gone by now.
            with suppress(httpx.HTTPStatusError):
                await client.runs.join(used, run["run_id"])

    runs = await client.runs.list(used, limit=100)
    thread = await client.threads.get(used)
    assert {run["status"] for run in runs} == {"success"}
    assert len(thread["values"]["trail"]) == 2 * len(runs)
    assert thread["status"] == "idle"


async def test_whoever_waits_for_a_rolled_back_run_is_told(client, http, used, begun):
    run = await begun(used, "holding", {})
    waiting = asyncio.create_task(http.get(f"/threads/{used}/runs/{run['run_id']}/join"))
    while not waiting.done():
        try:
            await client.runs.cancel(used, run["run_id"], action="rollback")
        except (errors.ConflictError, errors.NotFoundError):
            break

    answer = (await waiting).json()

    assert answer.get("__error__", answer).get("error", answer.get("code")) == "not_found"
