"""How runs end: cancelled one by one or together, deleted, waited for."""

import asyncio
import itertools
import uuid

import pytest
from langgraph_sdk import errors

from shared_schemas import tokens

BOTH = {"trail": ["first", "second"]}

SPOILT = [
    *itertools.product(
        ["nul", "surrogate", "nan", "large", "deep", "stranger"], ["state", "custom", "error", "interrupt"]
    ),
    # A list is no key.
    *itertools.product(["nul", "surrogate", "nan", "large", "stranger"], ["key"]),
]
"""What a graph makes that cannot be kept as it is, and where it puts it."""


async def statuses_of(client, thread_id):
    return [run["status"] for run in await client.runs.list(thread_id, limit=100)]


async def test_a_runs_result_is_its_own(client, thread_id):
    first = await client.runs.create(thread_id, "adding", input={})
    second = await client.runs.create(thread_id, "adding", input={})
    await client.runs.join(thread_id, second["run_id"])

    assert await client.runs.join(thread_id, first["run_id"]) == BOTH


async def test_a_failed_run_keeps_its_error_whatever_follows(client, thread_id):
    failed = await client.runs.create(thread_id, "failing", input={})
    await client.runs.wait(thread_id, "adding", input={})

    result = await client.runs.join(thread_id, failed["run_id"])

    assert result["__error__"]["error"] == "graph_failed"


async def test_both_questions_are_in_the_result(client, thread_id):
    result = await client.runs.wait(thread_id, "asking_twice", input={})

    assert {item["value"]["question"] for item in result["__interrupt__"]} == {"Sure?", "And?"}


async def test_the_runs_of_a_thread_are_cancelled_together(client, thread_id, begun):
    held = await begun(thread_id, "holding", {})
    waiting = await client.runs.create(thread_id, "adding", input={})

    await client.runs.cancel_many(thread_id=thread_id, run_ids=[held["run_id"], waiting["run_id"]])

    await client.runs.join(thread_id, held["run_id"])
    assert await statuses_of(client, thread_id) == ["interrupted", "interrupted"]


@pytest.mark.parametrize("status", ["all", "running"])
async def test_runs_are_cancelled_by_their_status(client, thread_id, begun, status):
    held = await begun(thread_id, "holding", {})
    waiting = await client.runs.create(thread_id, "adding", input={})

    await client.runs.cancel_many(status=status)

    await client.runs.join(thread_id, held["run_id"])
    await client.runs.join(thread_id, waiting["run_id"])
    ended = "interrupted" if status == "all" else "success"
    assert await statuses_of(client, thread_id) == [ended, "interrupted"]


async def test_nobody_cancels_the_runs_of_others(client, connect, thread_id, begun):
    held = await begun(thread_id, "holding", {})
    other = await connect(subject="somebody-else")

    await other.runs.cancel_many(status="all")
    with pytest.raises(errors.NotFoundError):
        await other.runs.cancel_many(thread_id=thread_id, run_ids=[held["run_id"]])
    with pytest.raises(errors.NotFoundError):
        await other.runs.delete(thread_id, held["run_id"])

    assert await statuses_of(client, thread_id) == ["running"]
    await client.runs.cancel(thread_id, held["run_id"], wait=True)


async def test_an_unknown_run_among_others_cancels_none(client, thread_id, begun):
    held = await begun(thread_id, "holding", {})

    with pytest.raises(errors.NotFoundError):
        await client.runs.cancel_many(thread_id=thread_id, run_ids=[held["run_id"], str(uuid.uuid4())])

    assert await statuses_of(client, thread_id) == ["running"]
    await client.runs.cancel(thread_id, held["run_id"], wait=True)


async def test_a_run_is_cancelled_by_the_key_that_made_it(client, thread_id):
    # The answer to the first request was lost: the same request tells the run's id.
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    await client.runs.create(thread_id, "holding", input={}, headers=headers)

    known = await client.runs.create(thread_id, "holding", input={}, headers=headers)
    await client.runs.cancel(thread_id, known["run_id"], wait=True)

    assert await statuses_of(client, thread_id) == ["interrupted"]


async def test_an_ended_run_is_deleted_and_its_thread_stays(client, thread_id, query):
    run = await client.runs.create(thread_id, "adding", input={})
    await client.runs.join(thread_id, run["run_id"])

    await client.runs.delete(thread_id, run["run_id"])

    assert await client.runs.list(thread_id) == []
    assert (await client.threads.get(thread_id))["values"] == BOTH
    assert query("SELECT count(*) FROM run_events WHERE run_id = %s", run["run_id"]) == [(0,)]


async def test_a_run_at_work_is_not_deleted(client, thread_id, begun):
    held = await begun(thread_id, "holding", {})

    with pytest.raises(errors.ConflictError):
        await client.runs.delete(thread_id, held["run_id"])

    await client.runs.cancel(thread_id, held["run_id"], wait=True)


async def test_a_batch_makes_a_run_for_each(client):
    runs = await client.runs.create_batch([{"assistant_id": "adding", "input": {}}] * 3)

    results = [await client.runs.join(run["thread_id"], run["run_id"]) for run in runs]
    assert results == [BOTH] * 3


async def test_a_repeated_batch_makes_no_more(client):
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    batch = [{"assistant_id": "adding", "input": {}}] * 2

    first = await client.runs.create_batch(batch, headers=headers)
    second = await client.runs.create_batch(batch, headers=headers)

    assert [run["run_id"] for run in first] == [run["run_id"] for run in second]


async def test_open_tool_calls_are_answered_before_the_next_input(client, thread_id, begun):
    question = {"messages": [{"role": "user", "content": "go"}]}
    run = await begun(thread_id, "calling", question | {"hold": True})
    await client.runs.cancel(thread_id, run["run_id"], wait=True)

    result = await client.runs.wait(thread_id, "calling", input=question | {"hold": False})

    kinds = [(message["type"], message.get("status")) for message in result["messages"]]
    answered = [message["tool_call_id"] for message in result["messages"] if message["type"] == "tool"]
    assert [kind for kind, _ in kinds] == ["human", "ai", "tool", "tool", "human"]
    assert [status for kind, status in kinds if kind == "tool"] == ["error", "error"]
    assert answered == ["call-1", "call-2"]


async def test_a_cancelled_run_leaves_the_question_before_it(client, thread_id, begun):
    asked = await client.runs.wait(thread_id, "asking", input={})
    waiting = await client.runs.create(thread_id, "asking", input=None, after_seconds=600)

    await client.runs.cancel(thread_id, waiting["run_id"])

    thread = await client.threads.get(thread_id)
    assert (thread["status"], list(thread["interrupts"].values())) == (
        "interrupted",
        [asked["__interrupt__"]],
    )


@pytest.mark.parametrize("strategy", ["enqueue", "interrupt", "rollback"])
async def test_runs_of_a_thread_never_overlap(client, thread_id, query, strategy):
    async def submit():
        return await client.runs.create(thread_id, "adding", input={}, multitask_strategy=strategy)

    await asyncio.gather(*(submit() for _ in range(6)))
    last = await client.runs.create(thread_id, "adding", input={})
    await client.runs.join(thread_id, last["run_id"])

    overlapping = query(
        "SELECT count(*) FROM runs AS a JOIN runs AS b ON a.thread_id = b.thread_id AND a.run_id < b.run_id"
        " WHERE a.thread_id = %s AND a.started_at < b.ended_at AND b.started_at < a.ended_at",
        thread_id,
    )
    assert overlapping == [(0,)]


async def test_one_of_many_at_once_is_taken_and_the_others_are_refused(client, thread_id):
    async def submit():
        return await client.runs.create(thread_id, "holding", input={}, multitask_strategy="reject")

    answers = await asyncio.gather(*(submit() for _ in range(6)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, errors.ConflictError)]
    assert len(refused) == 5
    assert refused[0].body["code"] == "thread_busy"
    await client.runs.cancel_many(status="all")


async def test_a_person_only_reads_the_thread_of_a_mandate(client, connect, thread_id):
    django = await connect(scopes=frozenset(tokens.Scope))
    run = await django.runs.create(thread_id, "adding", input={}, metadata={"mandate_run": str(uuid.uuid4())})
    person = await connect(typ=tokens.TokenType.USER)

    refused = [
        person.runs.create(thread_id, "adding", input={}),
        person.runs.cancel(thread_id, run["run_id"]),
        person.runs.delete(thread_id, run["run_id"]),
        person.runs.cancel_many(thread_id=thread_id, run_ids=[run["run_id"]]),
        person.threads.update(thread_id, metadata={"mine": True}),
        person.threads.delete(thread_id),
    ]
    for attempt in refused:
        with pytest.raises(errors.PermissionDeniedError) as refusal:
            await attempt
        assert refusal.value.body["code"] == "forbidden"
    await person.runs.cancel_many(status="all")

    assert (await person.runs.get(thread_id, run["run_id"]))["status"] in {"pending", "running"}
    await django.runs.cancel(thread_id, run["run_id"], wait=True)


async def test_a_run_with_a_mandate_is_not_rolled_back(connect, thread_id):
    django = await connect(scopes=frozenset(tokens.Scope))
    run = await django.runs.create(thread_id, "adding", input={}, metadata={"mandate_run": str(uuid.uuid4())})

    with pytest.raises(errors.ConflictError):
        await django.runs.cancel(thread_id, run["run_id"], action="rollback")
    with pytest.raises(errors.ConflictError):
        await django.runs.create(thread_id, "adding", input={}, multitask_strategy="rollback")

    await django.runs.cancel(thread_id, run["run_id"], wait=True)


@pytest.mark.parametrize(("kind", "place"), SPOILT)
async def test_whatever_a_graph_makes_its_run_ends(client, thread_id, kind, place):
    modes = ["values", "updates", "custom", "debug", "tasks", "checkpoints"]
    run = await client.runs.create(
        thread_id, "spoiling", input={"kind": kind, "place": place}, stream_mode=modes
    )

    async with asyncio.timeout(30):
        await client.runs.join(thread_id, run["run_id"])

    ended = await client.runs.get(thread_id, run["run_id"])
    code = ended["error"] and ended["error"]["code"]
    assert (ended["status"], code) in {
        ("success", None),
        ("error", "unstorable_value"),
        *([("error", "graph_failed")] if place == "error" else []),
    }
    assert await client.runs.wait(thread_id, "adding", input={})
