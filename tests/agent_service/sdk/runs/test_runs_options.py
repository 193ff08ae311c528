"""What a run's payload may ask for, one by one."""

import asyncio
import uuid

import pytest
from langgraph_sdk import errors

BOTH = {"trail": ["first", "second"]}


async def test_a_scheduled_run_is_in_nobodys_way(client, thread_id):
    later = await client.runs.create(thread_id, "adding", input={}, after_seconds=600)

    result = await client.runs.wait(thread_id, "adding", input={}, multitask_strategy="reject")

    assert result == BOTH
    assert (await client.runs.get(thread_id, later["run_id"]))["status"] == "pending"
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_a_scheduled_run_begins_when_its_time_comes(client, thread_id, begun):
    held = await begun(thread_id, "holding", {})
    later = await client.runs.create(thread_id, "adding", input={}, after_seconds=1)
    last = await client.runs.create(thread_id, "adding", input={})
    await client.runs.cancel(thread_id, held["run_id"], wait=True)

    async with asyncio.timeout(60):
        await client.runs.join(thread_id, later["run_id"])
        await client.runs.join(thread_id, last["run_id"])

    statuses = {run["run_id"]: run["status"] for run in await client.runs.list(thread_id)}
    assert (statuses[later["run_id"]], statuses[last["run_id"]]) == ("success", "success")


async def test_a_scheduled_run_that_is_cancelled_queues_nothing_twice(client, thread_id, begun, query):
    later = await client.runs.create(thread_id, "adding", input={}, after_seconds=600)
    held = await begun(thread_id, "holding", {})
    jobs = ("SELECT id FROM pgqueuer WHERE payload = %s", uuid.UUID(held["run_id"]).bytes)
    before = {*query(*jobs)}

    await client.runs.cancel(thread_id, later["run_id"])

    assert (await client.runs.get(thread_id, held["run_id"]))["status"] == "running"
    assert before
    assert {*query(*jobs)} <= before


async def test_the_webhook_is_called(client, thread_id, receiver):
    run = await client.runs.create(thread_id, "adding", input={}, webhook=receiver.url)
    await client.runs.join(thread_id, run["run_id"])

    async with asyncio.timeout(30):
        while run["run_id"] not in {body["data"]["run_id"] for body in receiver.bodies}:  # noqa: ASYNC110 - another thread's list
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_durability_decides_which_steps_are_kept(client, thread_id, query, durability):
    await client.runs.wait(thread_id, "failing", input={}, durability=durability, raise_error=False)

    kept = query("SELECT count(*) FROM checkpoints WHERE thread_id = %s", thread_id)
    assert kept[0][0] == (1 if durability == "exit" else 3)


@pytest.mark.filterwarnings("ignore:`checkpoint_during` is deprecated:DeprecationWarning")
async def test_the_older_word_for_durability_works_too(client, thread_id, query):
    await client.runs.wait(thread_id, "failing", input={}, checkpoint_during=False, raise_error=False)

    assert query("SELECT count(*) FROM checkpoints WHERE thread_id = %s", thread_id) == [(1,)]


async def test_a_thread_made_for_a_run_goes_with_it_if_asked_for(client):
    seen = []

    result = await client.runs.wait(
        None, "adding", input={}, on_completion="delete", on_run_created=seen.append
    )

    assert result == BOTH
    with pytest.raises(errors.NotFoundError):
        await client.threads.get(seen[0]["thread_id"])


async def test_the_stream_of_such_a_run_is_whole(client):
    parts = [part async for part in client.runs.stream(None, "adding", input={}, on_completion="delete")]

    assert [parts[0].event, parts[-1].event] == ["metadata", "end"]
    assert parts[-2].data == BOTH


async def test_a_thread_made_for_a_run_stays_otherwise(client):
    run = await client.runs.create(None, "adding", input={}, on_completion="keep")

    await client.runs.join(run["thread_id"], run["run_id"])

    assert (await client.threads.get(run["thread_id"]))["values"] == BOTH


@pytest.mark.parametrize(
    ("option", "trail"),
    [
        pytest.param({"interrupt_before": ["second"]}, ["first"], id="before"),
        pytest.param({"interrupt_after": ["first"]}, ["first"], id="after"),
        pytest.param({"interrupt_before": "*"}, None, id="before all"),
        pytest.param({"interrupt_after": "*"}, ["first"], id="after all"),
    ],
)
async def test_a_run_stands_where_it_was_told_to(client, thread_id, option, trail):
    result = await client.runs.wait(thread_id, "adding", input={}, **option)

    assert (result or {}).get("trail", []) == (trail or [])
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    assert await client.runs.wait(thread_id, "adding", input=None) == BOTH


async def test_subgraphs_are_streamed_if_asked_for(client, thread_id):
    stream = client.runs.stream(thread_id, "nested", input={}, stream_mode="updates", stream_subgraphs=True)

    events = {part.event.partition(":")[0] for part in [part async for part in stream]}

    assert {"updates", "updates|inner"} <= events


async def test_a_run_forks_from_a_checkpoint(client, service, thread_id):
    await client.runs.wait(thread_id, "adding", input={}, interrupt_before=["second"])
    fork = (await client.threads.get_state(thread_id))["checkpoint_id"]
    await client.runs.wait(thread_id, "adding", input=None)

    result = await client.runs.wait(thread_id, "adding", input=None, checkpoint_id=fork)

    assert result == BOTH


async def test_config_and_context_reach_the_graph(client, thread_id):
    result = await client.runs.wait(
        thread_id,
        "configured",
        input={},
        config={"configurable": {"colour": "red"}, "tags": ["tagged"]},
        context={"size": 7},
    )

    assert result == {"trail": ["red", 7, "tagged"]}


async def test_what_was_asked_for_is_in_the_run(client, thread_id):
    run = await client.runs.create(thread_id, "adding", input={}, metadata={"n": 1}, durability="exit")

    assert (run["metadata"], run["kwargs"]["durability"]) == ({"n": 1}, "exit")


async def test_a_list_gives_the_fields_it_is_asked_for(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={})

    (run,) = await client.runs.list(thread_id, select=["run_id", "status"])

    assert run.keys() == {"run_id", "status"}


async def test_a_missing_thread_is_made_only_if_asked_for(client):
    thread_id = str(uuid.uuid4())

    with pytest.raises(errors.NotFoundError):
        await client.runs.create(thread_id, "adding", input={}, if_not_exists="reject")

    run = await client.runs.create(thread_id, "adding", input={}, if_not_exists="create")
    assert run["thread_id"] == thread_id


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_completion": "hope"},
        {"if_not_exists": "hope"},
        {"durability": "hope"},
        {"multitask_strategy": "hope"},
        {"stream_mode": ["values", "hope"]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_word_that_is_none_is_refused(client, wrong):
    with pytest.raises(errors.UnprocessableEntityError) as refusal:
        await client.runs.create(None, "adding", input={}, **wrong)

    assert refusal.value.body["errors"][0]["pointer"].startswith(f"/{next(iter(wrong))}")


async def test_the_server_says_what_it_can_do(http):
    flags = (await http.get("/info")).json()["flags"]

    assert (flags["assistants"], flags["strict_resume"], flags["crons"]) == (True, True, False)
