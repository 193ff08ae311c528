import asyncio
import uuid

import httpx
import pytest

STALE = "f" * 32


@pytest.fixture
def thread_id():
    return str(uuid.uuid4())


@pytest.fixture
async def busy_id(client, thread_id):
    """A thread whose runs never end by themselves."""
    yield thread_id
    await client.runs.cancel_many(status="all")


@pytest.fixture
async def asking(client):
    """A thread that waits for an answer, and the interrupt's id."""
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "asking", input={"text": "Sure?"})
    (pending,) = (await client.threads.get(thread["thread_id"]))["interrupts"].values()
    return thread["thread_id"], pending[0]["id"]


async def result(client, thread_id, answer):
    return await client.runs.join(thread_id, answer["result"]["run_id"])


async def test_a_start_creates_the_thread(command, client, thread_id):
    answer = await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})

    assert (answer["type"], answer["id"]) == ("success", 1)
    assert (await result(client, thread_id, answer))["text"] == "ADA"


async def test_an_answer_tells_what_came_before_the_run(command, client, stream_events, thread_id):
    first = await command(thread_id, "run.start", assistant_id="echo", input={"text": "ada"})
    second = await command(thread_id, "run.start", assistant_id="echo", input={"text": "grace"})

    (begun,) = await stream_events(
        thread_id,
        until=lambda _: True,
        channels=["lifecycle"],
        since=second["meta"]["applied_through_seq"],
    )

    assert begun["params"]["data"]["run_id"] == second["result"]["run_id"]
    assert first["meta"]["applied_through_seq"] < second["meta"]["applied_through_seq"] < begun["seq"]


async def test_a_repeated_command_starts_one_run(command, client, http, thread_id):
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"id": 7, "method": "run.start", "params": {"assistant_id": "echo", "input": {"text": "ada"}}}

    answers = [
        (await http.post(f"/threads/{thread_id}/commands", json=body, headers=headers)).json()
        for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert len(await client.runs.list(thread_id)) == 1


async def test_a_run_starts_from_a_checkpoint(command, client, thread_id):
    first = await command(
        thread_id, "run.start", assistant_id="asking", input={"text": "Sure?"}, metadata={"n": 1}
    )
    await result(client, thread_id, first)
    state = await client.threads.get_state(thread_id)
    place = {"configurable": {"checkpoint_id": state["checkpoint"]["checkpoint_id"]}}

    forked = await command(thread_id, "run.start", assistant_id="asking", config=place)

    await result(client, thread_id, forked)
    run = await client.runs.get(thread_id, forked["result"]["run_id"])
    assert run["kwargs"]["checkpoint"]["checkpoint_id"] == place["configurable"]["checkpoint_id"]


async def test_one_interrupt_is_answered(command, client, asking):
    thread_id, interrupt_id = asking

    answer = await command(
        thread_id, "input.respond", interrupt_id=interrupt_id, namespace=[], response="yes"
    )

    assert (await result(client, thread_id, answer))["answers"] == ["yes"]


async def test_several_interrupts_are_answered_at_once(command, client):
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "asking_both", input={"text": "Sure?"})
    pending = (await client.threads.get(thread["thread_id"]))["interrupts"]
    responses = [
        {"interrupt_id": item["id"], "namespace": [], "response": "yes"}
        for items in pending.values()
        for item in items
    ]

    answer = await command(thread["thread_id"], "input.respond", responses=responses)

    assert (await result(client, thread["thread_id"], answer))["answers"] == ["yes", "yes"]


async def test_the_state_is_changed_with_the_answer(command, client, asking):
    thread_id, interrupt_id = asking

    answer = await command(
        thread_id,
        "input.respond",
        interrupt_id=interrupt_id,
        namespace=[],
        response="yes",
        update={"text": "changed"},
    )

    assert (await result(client, thread_id, answer))["text"] == "CHANGED"


@pytest.mark.parametrize("interrupt_id", [STALE, "not-an-id"])
async def test_an_interrupt_that_is_not_pending_is_refused(command, client, asking, interrupt_id):
    thread_id, _ = asking

    answer = await command(
        thread_id, "input.respond", interrupt_id=interrupt_id, namespace=[], response="yes"
    )

    assert (answer["type"], answer["error"]) == ("error", "no_such_interrupt")
    assert (await client.threads.get(thread_id))["status"] == "interrupted"


async def test_an_interrupt_that_nobody_told_of_is_refused_while_a_run_works(
    command, client, stream_events, busy_id
):
    await command(busy_id, "run.start", assistant_id="endless", input={"text": ""})
    await stream_events(busy_id, until=lambda _: True, channels=["custom"])

    answer = await command(busy_id, "input.respond", interrupt_id=STALE, namespace=[], response="yes")

    assert (answer["type"], answer["error"]) == ("error", "no_such_interrupt")
    assert len(await client.runs.list(busy_id)) == 1


async def test_an_interrupt_is_answered_while_another_task_works(command, client, stream_events, busy_id):
    await command(busy_id, "run.start", assistant_id="asking_beside", input={"text": "Sure?"})
    (asked,) = await stream_events(busy_id, until=lambda _: True, channels=["input"])
    interrupt_id = asked["params"]["data"]["interrupt_id"]

    answer = await command(busy_id, "input.respond", interrupt_id=interrupt_id, namespace=[], response="yes")

    assert answer["type"] == "success"
    assert len(await client.runs.list(busy_id)) == 2


async def test_an_interrupt_that_only_the_state_shows_is_answered_while_another_task_works(
    command, client, busy_id
):
    await client.runs.create(
        busy_id, "asking_beside", input={"text": "Sure?"}, stream_mode="custom", if_not_exists="create"
    )
    async with asyncio.timeout(30):
        while not (pending := (await client.threads.get_state(busy_id))["interrupts"]):
            pass

    answer = await command(
        busy_id, "input.respond", interrupt_id=pending[0]["id"], namespace=[], response="yes"
    )

    assert answer["type"] == "success"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        pytest.param("run.jump", {}, "unknown_command", id="unknown"),
        pytest.param("run.start", {}, "invalid_argument", id="no assistant"),
        pytest.param("run.start", {"assistant_id": "nobody"}, "invalid_argument", id="unknown assistant"),
        pytest.param("input.respond", {"responses": []}, "invalid_argument", id="no answers"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(command, asking, method, params, code):
    thread_id, _ = asking

    answer = await command(thread_id, method, **params)

    assert (answer["type"], answer["error"]) == ("error", code)
    assert answer["message"]


async def test_an_answer_for_a_thread_of_somebody_else_is_refused(command, asking, token):
    thread_id, interrupt_id = asking
    headers = {"Authorization": f"Bearer {token(subject='somebody else')}"}

    with pytest.raises(httpx.HTTPStatusError) as refusal:
        await command(
            thread_id, "input.respond", headers, interrupt_id=interrupt_id, namespace=[], response="yes"
        )

    assert refusal.value.response.status_code == 404
