import uuid
from datetime import datetime, timedelta

import pytest
from langgraph_sdk import errors


async def test_a_thread_tells_when_it_goes_if_asked(client):
    thread = await client.threads.create(ttl=90)

    told = await client.threads.get(thread["thread_id"], include=["ttl"])

    lives = datetime.fromisoformat(told["ttl"]["expires_at"]) - datetime.fromisoformat(told["created_at"])
    assert (told["ttl"]["strategy"], told["ttl"]["ttl_minutes"]) == ("delete", 90)
    assert lives == timedelta(minutes=90)
    assert "ttl" not in await client.threads.get(thread["thread_id"])


async def test_a_threads_time_may_be_set_later(client, thread_id):
    await client.threads.update(thread_id, metadata={}, ttl={"ttl": 5, "strategy": "keep_latest"})

    told = await client.threads.get(thread_id, include=["ttl"])

    assert (told["ttl"]["strategy"], told["ttl"]["ttl_minutes"]) == ("keep_latest", 5)


async def test_a_thread_is_created_for_a_graph(client):
    thread = await client.threads.create(graph_id="adding")

    assert thread["metadata"] == {"graph_id": "adding"}


async def test_a_thread_is_created_with_its_states(client):
    steps = [
        {"updates": [{"values": {"text": "a", "trail": ["given"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"trail": ["told"]}, "as_node": "first"}]},
    ]

    thread = await client.threads.create(graph_id="adding", supersteps=steps)

    state = await client.threads.get_state(thread["thread_id"])
    assert (state["values"]["trail"], state["next"]) == (["given", "told"], ["second"])
    assert (thread["values"], thread["status"]) == (state["values"], "interrupted")
    assert len(await client.threads.get_history(thread["thread_id"])) == 2


async def test_a_thread_whose_states_make_no_sense_is_not_created(client):
    thread_id = str(uuid.uuid4())
    steps = [{"updates": [{"values": {"text": "a"}, "as_node": "nobody"}]}]

    with pytest.raises(errors.UnprocessableEntityError):
        await client.threads.create(thread_id=thread_id, graph_id="adding", supersteps=steps)

    with pytest.raises(errors.NotFoundError):
        await client.threads.get(thread_id)


async def test_threads_are_found_by_their_values(client, thread_id):
    await client.threads.create()
    await client.runs.wait(thread_id, "adding", input={"text": "ada"})

    found = await client.threads.search(values={"text": "ada"})

    assert [thread["thread_id"] for thread in found] == [thread_id]
    assert await client.threads.search(values={"text": "bob"}) == []


async def test_threads_are_found_by_their_ids(client, thread_id):
    await client.threads.create()

    found = await client.threads.search(ids=[thread_id, str(uuid.uuid4())])

    assert [thread["thread_id"] for thread in found] == [thread_id]


@pytest.mark.parametrize("by", ["thread_id", "status", "created_at", "updated_at", "state_updated_at"])
async def test_threads_are_sorted(client, by):
    for _ in range(3):
        await client.threads.create()

    up = [thread["thread_id"] for thread in await client.threads.search(sort_by=by, sort_order="asc")]
    down = [thread["thread_id"] for thread in await client.threads.search(sort_by=by, sort_order="desc")]

    assert up == (down if by == "status" else down[::-1])


async def test_a_search_gives_the_fields_that_are_asked_for(client, thread_id):
    (found,) = await client.threads.search(select=["thread_id", "status"])

    assert found == {"thread_id": thread_id, "status": "idle"}


async def test_a_thread_has_the_settings_of_its_last_run(client, thread_id):
    given = {"tags": ["a"], "configurable": {"tone": "dry"}}
    await client.runs.wait(thread_id, "configured", input={}, context={"place": "here"})
    await client.runs.wait(thread_id, "configured", input={}, config=given)
    untouched = (await client.threads.create())["thread_id"]

    found = await client.threads.search(select=["thread_id", "config", "context"], sort_by="created_at")

    settings = {thread["thread_id"]: (thread["config"], thread["context"]) for thread in found}
    assert settings == {thread_id: (given, {}), untouched: ({}, {})}


async def test_a_search_extracts_parts_of_threads(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "ada"})

    (found,) = await client.threads.search(
        select=["thread_id"], extract={"last": "values.trail[-1]", "none": "values.nothing[0].here"}
    )

    assert found["extracted"] == {"last": "second", "none": None}


async def test_threads_are_counted(client):
    await client.threads.create(metadata={"topic": "lists"})
    await client.threads.create(metadata={"topic": "joins"})

    assert await client.threads.count() == 2
    assert await client.threads.count(metadata={"topic": "lists"}, status="idle") == 1


async def test_a_copy_has_the_history_and_goes_its_own_way(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    copy = await client.threads.copy(thread_id)

    before = await client.threads.get_history(thread_id)
    answered = await client.runs.wait(copy["thread_id"], "asking", command={"resume": "yes"})
    assert answered["trail"] == ["first", "yes", "second"]
    assert await client.threads.get_history(thread_id) == before
    assert len(await client.threads.get_history(copy["thread_id"])) > len(before)


async def test_a_copy_is_found_by_its_metadata_and_keeps_its_interrupts(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    copy = await client.threads.copy(thread_id)

    original = await client.threads.get(thread_id)
    assert copy["thread_id"] != thread_id
    assert {name: copy[name] for name in ("metadata", "values", "status", "interrupts")} == {
        name: original[name] for name in ("metadata", "values", "status", "interrupts")
    }


async def test_pruned_threads_are_gone(client, thread_id):
    pruned = await client.threads.prune([thread_id, str(uuid.uuid4())])

    assert pruned == {"pruned_count": 1}
    with pytest.raises(errors.NotFoundError):
        await client.threads.get(thread_id)


async def test_pruned_threads_may_keep_their_latest_state(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "ada"})
    state = await client.threads.get_state(thread_id)

    pruned = await client.threads.prune([thread_id], strategy="keep_latest")

    (kept,) = await client.threads.get_history(thread_id)
    assert pruned == {"pruned_count": 1}
    assert kept["values"] == state["values"]


async def test_busy_threads_are_not_pruned(client, thread_id):
    run = await client.runs.create(thread_id, "holding", input={"text": "a"})

    pruned = await client.threads.prune([thread_id])

    assert pruned == {"pruned_count": 0}
    await client.runs.cancel(thread_id, run["run_id"], wait=True)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda threads, name: threads.copy(name), id="copy"),
        pytest.param(lambda threads, name: threads.update_state(name, {"text": "b"}), id="update_state"),
        pytest.param(lambda threads, name: threads.get_history(name), id="history"),
        pytest.param(lambda threads, name: threads.update(name, metadata={"a": 1}), id="update"),
        pytest.param(lambda threads, name: threads.delete(name), id="delete"),
    ],
)
async def test_a_thread_of_somebody_else_is_not_there(stranger, thread_id, call):
    with pytest.raises(errors.NotFoundError):
        await call(stranger.threads, thread_id)


async def test_threads_of_somebody_else_are_neither_found_nor_pruned(client, stranger, thread_id):
    assert await stranger.threads.search(ids=[thread_id]) == []
    assert await stranger.threads.count() == 0
    assert await stranger.threads.prune([thread_id]) == {"pruned_count": 0}

    assert (await client.threads.get(thread_id))["thread_id"] == thread_id


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        pytest.param("/threads/search", {"sort_by": "colour"}, "/sort_by", id="sort"),
        pytest.param("/threads/search", {"sort_order": "up"}, "/sort_order", id="order"),
        pytest.param("/threads/search", {"status": "asleep"}, "/status", id="status"),
        pytest.param("/threads/search", {"select": ["colour"]}, "/select/0", id="select"),
        pytest.param("/threads/search", {"extract": {"a": "values["}}, "/extract/a", id="path"),
        pytest.param("/threads", {"if_exists": "laugh"}, "/if_exists", id="if_exists"),
        pytest.param("/threads", {"ttl": {"ttl": -1}}, "/ttl/ttl", id="ttl"),
        pytest.param("/threads/prune", {"thread_ids": [], "strategy": "burn"}, "/strategy", id="strategy"),
    ],
)
async def test_what_makes_no_sense_is_refused_where_it_stands(http, path, body, pointer):
    answer = await http.post(path, json=body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
