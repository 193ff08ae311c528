import asyncio
import uuid

import psycopg
import pytest
from langgraph_sdk import errors

from tests.agent_service import locks

CALL = {"name": "search", "args": {"query": "a"}, "id": "call-1", "type": "tool_call"}


async def test_a_state_is_changed_as_by_a_node(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})

    updated = await client.threads.update_state(thread_id, {"text": "b"}, as_node="first")

    state = await client.threads.get_state(thread_id)
    assert updated["checkpoint"]["checkpoint_id"] == state["checkpoint"]["checkpoint_id"]
    assert (state["values"]["text"], state["next"]) == ("b", ["second"])


async def test_a_changed_thread_shows_its_new_state(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    await client.threads.update_state(thread_id, {"trail": ["never asked"]}, as_node="second")

    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["interrupts"]) == ("idle", {})
    assert thread["values"]["trail"] == ["first", "never asked"]


async def test_a_run_goes_on_from_a_changed_state(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    await client.threads.update_state(thread_id, {"trail": ["edited"]}, as_node="first")

    values = await client.runs.wait(thread_id, "adding", input=None)

    assert values["trail"] == ["first", "second", "edited", "second"]


async def test_a_change_may_start_from_an_older_checkpoint(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    oldest = (await client.threads.get_history(thread_id))[-2]

    await client.threads.update_state(
        thread_id, {"trail": ["fork"]}, as_node="first", checkpoint_id=oldest["checkpoint_id"]
    )
    await client.threads.update_state(
        thread_id, {"trail": ["again"]}, as_node="first", checkpoint=oldest["checkpoint"]
    )

    state = await client.threads.get_state(thread_id)
    assert state["values"]["trail"] == ["again"]
    assert state["parent_checkpoint"]["checkpoint_id"] == oldest["checkpoint_id"]


async def test_a_busy_thread_is_not_changed(client, thread_id):
    run = await client.runs.create(thread_id, "holding", input={"text": "a"})

    with pytest.raises(errors.ConflictError) as refused:
        await client.threads.update_state(thread_id, {"text": "b"})

    assert refused.value.body["code"] == "thread_busy"
    await client.runs.cancel(thread_id, run["run_id"], wait=True)


async def test_a_change_waits_for_whoever_has_the_thread(client, service, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    url = service.settings.database_url.get_secret_value()

    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT FROM threads WHERE thread_id = %s FOR UPDATE", (thread_id,))
        changing = asyncio.create_task(client.threads.update_state(thread_id, {"text": "b"}, as_node="first"))
        await locks.held_up(connection)
        await connection.execute(
            "UPDATE threads SET metadata = metadata || '{\"seen\": true}' WHERE thread_id = %s", (thread_id,)
        )
    await changing

    thread = await client.threads.get(thread_id)
    assert (thread["values"]["text"], thread["metadata"]["seen"]) == ("b", True)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"values": {"text": "b"}, "as_node": "nobody"}, id="unknown node"),
        pytest.param({"values": {"trail": 1}, "as_node": "first"}, id="what the reducer cannot take"),
    ],
)
async def test_a_change_that_the_graph_cannot_take_is_refused(client, thread_id, changes):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    before = await client.threads.get_history(thread_id)

    with pytest.raises(errors.UnprocessableEntityError):
        await client.threads.update_state(thread_id, **changes)

    assert await client.threads.get_history(thread_id) == before


async def test_a_thread_without_a_graph_has_no_state_to_change(client, thread_id):
    with pytest.raises(errors.UnprocessableEntityError):
        await client.threads.update_state(thread_id, {"text": "b"})


async def test_a_state_gives_the_fields_that_are_asked_for(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})

    state = await client.threads.get_state(thread_id, select=["values.text", "next"])
    history = await client.threads.get_history(thread_id, select=["checkpoint"])

    assert state == {"values": {"text": "a"}, "next": []}
    assert {name for item in history for name in item} == {"checkpoint"}


async def test_a_checkpoint_is_read_by_its_whole_name(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    history = await client.threads.get_history(thread_id)

    for item in history:
        assert await client.threads.get_state(thread_id, checkpoint=item["checkpoint"]) == item


async def test_the_history_begins_before_a_checkpoint(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})
    whole = await client.threads.get_history(thread_id)

    by_id = await client.threads.get_history(thread_id, before=whole[1]["checkpoint_id"])
    by_checkpoint = await client.threads.get_history(thread_id, before=whole[1]["checkpoint"])

    assert by_id == by_checkpoint == whole[2:]


async def test_the_history_is_found_by_metadata(client, thread_id):
    await client.runs.wait(thread_id, "adding", input={"text": "a"})

    (found,) = await client.threads.get_history(thread_id, metadata={"step": 1})

    assert found["metadata"]["step"] == 1


async def test_a_subgraphs_state_is_read_with_its_tasks(client, thread_id):
    await client.runs.wait(thread_id, "nested", input={"text": "Sure?"})

    whole = await client.threads.get_state(thread_id, subgraphs=True)
    (task,) = (await client.threads.get_state(thread_id))["tasks"]
    below = await client.threads.get_state(thread_id, checkpoint=task["checkpoint"])

    assert whole["tasks"][0]["state"]["next"] == below["next"] == ["ask"]
    assert below["values"]["trail"] == ["first"]


async def test_an_agents_state_shows_its_calls_of_tools_that_are_not_here(client):
    steps = [
        {"updates": [{"values": {"messages": [{"role": "user", "content": "a"}]}, "as_node": "__start__"}]},
        {
            "updates": [
                {
                    "values": {"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]},
                    "as_node": "model",
                }
            ]
        },
    ]

    thread = await client.threads.create(graph_id="agent", supersteps=steps)

    state = await client.threads.get_state(thread["thread_id"])
    assert state["next"] == ["tools"]
    assert state["values"]["messages"][-1]["tool_calls"] == [CALL]


async def test_states_of_an_unknown_thread_are_not_found(client):
    with pytest.raises(errors.NotFoundError):
        await client.threads.get_state(str(uuid.uuid4()))
