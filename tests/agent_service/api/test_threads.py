import uuid

import pytest
from langgraph_sdk import errors


async def test_a_thread_is_created_and_read(client):
    created = await client.threads.create(metadata={"topic": "lists"})

    read = await client.threads.get(created["thread_id"])

    assert read == created
    assert (read["status"], read["metadata"]["topic"], read["interrupts"]) == ("idle", "lists", {})


async def test_a_thread_keeps_the_id_it_is_given(client):
    thread_id = str(uuid.uuid4())

    created = await client.threads.create(thread_id=thread_id)

    assert created["thread_id"] == thread_id


async def test_a_thread_is_not_created_twice(client, thread_id):
    with pytest.raises(errors.ConflictError):
        await client.threads.create(thread_id=thread_id)


async def test_a_thread_that_may_exist_is_returned(client, thread_id):
    again = await client.threads.create(thread_id=thread_id, if_exists="do_nothing", metadata={"n": 1})

    assert (again["thread_id"], again["metadata"]) == (thread_id, {})


async def test_a_repeated_creation_returns_the_same_thread(client):
    headers = {"Idempotency-Key": str(uuid.uuid4())}

    first = await client.threads.create(metadata={"n": 1}, headers=headers)
    second = await client.threads.create(metadata={"n": 1}, headers=headers)

    assert first == second


async def test_a_key_for_another_thread_is_refused(client):
    headers = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    await client.threads.create(metadata={"n": 1}, headers=headers)

    with pytest.raises(errors.UnprocessableEntityError) as refusal:
        await client.threads.create(metadata={"n": 2}, headers=headers)

    assert refusal.value.body["code"] == "idempotency_key_reused"


async def test_only_the_callers_threads_are_found(client, http, service, token):
    mine = await client.threads.create()
    headers = {"Authorization": f"Bearer {token(subject='somebody else')}"}

    found = await client.threads.search()

    others = await http.post("/threads/search", json={}, headers=headers)
    assert [thread["thread_id"] for thread in found] == [mine["thread_id"]]
    assert mine["thread_id"] not in {thread["thread_id"] for thread in others.json()}


async def test_threads_are_found_by_metadata_and_status(client):
    lists = await client.threads.create(metadata={"topic": "lists", "level": 1})
    await client.threads.create(metadata={"topic": "joins", "level": 1})

    found = await client.threads.search(metadata={"topic": "lists"}, status="idle")

    assert [thread["thread_id"] for thread in found] == [lists["thread_id"]]
    assert len(await client.threads.search(metadata={"level": 1}, limit=1, offset=1)) == 1
    assert await client.threads.search(status="busy") == []


async def test_a_thread_knows_the_graph_that_ran_on_it(client, thread_id):
    await client.runs.wait(thread_id, "echo", input={"text": "ada"})

    (found,) = await client.threads.search(metadata={"graph_id": "echo"})

    assert found["thread_id"] == thread_id


async def test_metadata_is_merged(client):
    thread = await client.threads.create(metadata={"a": 1, "b": 1})

    updated = await client.threads.update(thread["thread_id"], metadata={"b": 2})

    assert updated["metadata"] == {"a": 1, "b": 2}


async def test_an_update_may_answer_nothing(client, thread_id):
    answer = await client.threads.update(thread_id, metadata={"a": 1}, return_minimal=True)

    assert answer is None
    assert (await client.threads.get(thread_id))["metadata"] == {"a": 1}


async def test_a_deleted_thread_is_gone(client, thread_id):
    await client.threads.delete(thread_id)

    with pytest.raises(errors.NotFoundError):
        await client.threads.get(thread_id)


async def test_a_thread_without_a_run_has_an_empty_state(client, thread_id):
    state = await client.threads.get_state(thread_id)

    assert (state["values"], state["next"], state["tasks"]) == ({}, [], [])


async def test_the_state_after_a_run_is_what_its_graph_left(client, thread_id):
    await client.runs.wait(thread_id, "echo", input={"text": "ada"})

    state = await client.threads.get_state(thread_id)

    assert state["values"]["text"] == "ADA"
    assert state["next"] == []
    assert state["checkpoint"]["thread_id"] == thread_id


async def test_the_state_of_an_interrupted_thread_shows_its_task(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    state = await client.threads.get_state(thread_id)

    assert state["next"] == ["ask"]
    assert [task["name"] for task in state["tasks"]] == ["ask"]
    assert state["tasks"][0]["interrupts"] == state["interrupts"]
    assert state["interrupts"][0]["value"] == {"question": "Sure?"}


async def test_a_checkpoint_of_the_history_is_read_by_its_id(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})
    latest = await client.threads.get_state(thread_id)

    state = await client.threads.get_state(thread_id, checkpoint_id=latest["checkpoint"]["checkpoint_id"])

    assert state["values"] == latest["values"]


async def test_an_unknown_checkpoint_is_not_found(client, thread_id):
    await client.runs.wait(thread_id, "echo", input={"text": "ada"})

    with pytest.raises(errors.NotFoundError):
        await client.threads.get_state(thread_id, checkpoint_id=str(uuid.uuid4()))


async def test_the_history_is_latest_first(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    history = await client.threads.get_history(thread_id)

    assert history[0]["checkpoint"] == (await client.threads.get_state(thread_id))["checkpoint"]
    assert len(await client.threads.get_history(thread_id, limit=1)) == 1
