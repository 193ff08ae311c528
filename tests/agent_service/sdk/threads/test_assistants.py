import asyncio
import uuid

import pytest
from langgraph_sdk import errors


@pytest.fixture
async def assistant(client):
    return await client.assistants.create(
        "configured",
        config={"configurable": {"tone": "calm", "place": "here"}},
        context={"voice": "one", "language": "fi"},
        metadata={"topic": "lists"},
        name="Calm",
        description="Says it calmly.",
    )


async def test_an_assistant_is_created_and_read(client, assistant):
    assert await client.assistants.get(assistant["assistant_id"]) == assistant

    assert (assistant["version"], assistant["name"], assistant["graph_id"]) == (1, "Calm", "configured")
    assert assistant["description"] == "Says it calmly."


async def test_a_run_takes_what_its_assistant_gives_and_its_own_wins(client, thread_id, assistant):
    values = await client.runs.wait(
        thread_id,
        assistant["assistant_id"],
        input={"text": "a"},
        config={"configurable": {"place": "there"}},
        context={"language": "de"},
    )

    (said,) = values["trail"]
    assert said == {
        "tone": "calm",
        "place": "there",
        "topic": "lists",
        "context": {"voice": "one", "language": "de"},
    }


async def test_a_run_knows_its_assistant(client, thread_id, assistant):
    run = await client.runs.create(thread_id, assistant["assistant_id"], input={"text": "a"})
    await client.runs.join(thread_id, run["run_id"])

    (thread,) = await client.threads.search(metadata={"assistant_id": assistant["assistant_id"]})
    assert (run["assistant_id"], thread["thread_id"]) == (assistant["assistant_id"], thread_id)


async def test_a_change_makes_a_version(client, assistant):
    changed = await client.assistants.update(
        assistant["assistant_id"], context={"voice": "two"}, metadata={"level": 1}, name="Calmer"
    )

    assert (changed["version"], changed["name"], changed["context"]) == (2, "Calmer", {"voice": "two"})
    assert changed["metadata"] == {"topic": "lists", "level": 1}
    assert changed["config"] == assistant["config"]


async def test_an_older_version_is_put_in_force_again(client, assistant):
    await client.assistants.update(assistant["assistant_id"], name="Calmer")

    chosen = await client.assistants.set_latest(assistant["assistant_id"], 1)
    versions = await client.assistants.get_versions(assistant["assistant_id"])

    assert (chosen["version"], chosen["name"]) == (1, "Calm")
    assert [version["version"] for version in versions] == [2, 1]


async def test_a_version_that_is_not_there_is_not_put_in_force(client, assistant):
    with pytest.raises(errors.NotFoundError):
        await client.assistants.set_latest(assistant["assistant_id"], 7)


async def test_changes_at_once_make_a_version_each(client, assistant):
    await asyncio.gather(
        *(client.assistants.update(assistant["assistant_id"], name=f"name {n}") for n in range(5))
    )

    versions = await client.assistants.get_versions(assistant["assistant_id"])
    assert [version["version"] for version in versions] == [6, 5, 4, 3, 2, 1]


async def test_an_assistant_is_not_created_twice(client, assistant):
    with pytest.raises(errors.ConflictError):
        await client.assistants.create("adding", assistant_id=assistant["assistant_id"])

    same = await client.assistants.create(
        "adding", assistant_id=assistant["assistant_id"], if_exists="do_nothing"
    )
    assert same == assistant


async def test_a_repeated_creation_returns_the_same_assistant(client):
    headers = {"Idempotency-Key": str(uuid.uuid4())}

    first = await client.assistants.create("adding", headers=headers)
    second = await client.assistants.create("adding", headers=headers)

    assert first == second


async def test_a_deleted_assistant_is_gone_with_its_threads(client, thread_id, assistant):
    await client.runs.wait(thread_id, assistant["assistant_id"], input={"text": "a"})

    await client.assistants.delete(assistant["assistant_id"], delete_threads=True)

    with pytest.raises(errors.NotFoundError):
        await client.assistants.get(assistant["assistant_id"])
    with pytest.raises(errors.NotFoundError):
        await client.threads.get(thread_id)


async def test_an_assistant_of_somebody_else_is_not_there(stranger, assistant):
    with pytest.raises(errors.NotFoundError):
        await stranger.assistants.get(assistant["assistant_id"])
    with pytest.raises(errors.NotFoundError):
        await stranger.assistants.update(assistant["assistant_id"], name="Mine")
    with pytest.raises(errors.NotFoundError):
        await stranger.runs.create(None, assistant["assistant_id"], input={"text": "a"})

    assert await stranger.assistants.search(metadata={"topic": "lists"}) == []


async def test_the_assistant_of_a_graph_is_not_changed(client):
    for change in (
        client.assistants.update("adding", name="Mine"),
        client.assistants.delete("adding"),
        client.assistants.set_latest("adding", 1),
    ):
        with pytest.raises(errors.PermissionDeniedError):
            await change


async def test_the_assistant_of_a_graph_is_not_taken(client):
    of_the_graph = await client.assistants.get("adding")

    with pytest.raises(errors.ConflictError):
        await client.assistants.create("asking", assistant_id=of_the_graph["assistant_id"])

    same = await client.assistants.create(
        "asking", assistant_id=of_the_graph["assistant_id"], if_exists="do_nothing"
    )
    assert same == of_the_graph


async def test_an_assistant_needs_a_graph_that_is_there(client, assistant):
    with pytest.raises(errors.NotFoundError):
        await client.assistants.create("nothing")
    with pytest.raises(errors.NotFoundError):
        await client.assistants.update(assistant["assistant_id"], graph_id="nothing")


async def test_assistants_are_searched_in_pages(client, assistant):
    count = await client.assistants.count()

    page = await client.assistants.search(
        limit=2, sort_by="name", sort_order="asc", response_format="object", select=["name"]
    )
    rest = await client.assistants.search(
        limit=100, offset=int(page["next"]), sort_by="name", sort_order="asc", response_format="object"
    )

    assert [set(item) for item in page["assistants"]] == [{"name"}] * 2
    assert len(page["assistants"]) + len(rest["assistants"]) == count
    assert rest["next"] is None


@pytest.mark.parametrize(
    "wanted", [{"name": "cAl"}, {"metadata": {"topic": "lists"}}, {"graph_id": "configured", "name": "Calm"}]
)
async def test_stored_assistants_are_found(client, assistant, wanted):
    assert await client.assistants.search(**wanted) == [assistant]
    assert await client.assistants.count(**wanted) == 1


async def test_the_newest_assistant_comes_first(client, assistant):
    assert (await client.assistants.search(limit=1)) == [assistant]


async def test_subgraphs_are_told_with_their_schemas(client):
    every = await client.assistants.get_subgraphs("nested")
    one = await client.assistants.get_subgraphs("nested", namespace="inner", recurse=True)

    assert set(every) == {"inner"}
    assert one == every
    assert set(every["inner"]["output_schema"]["properties"]) == {"text", "trail"}


async def test_a_stored_assistant_shows_its_graph(client, assistant):
    drawing = await client.assistants.get_graph(assistant["assistant_id"])
    schemas = await client.assistants.get_schemas(assistant["assistant_id"])

    assert "tell" in {node["id"] for node in drawing["nodes"]}
    assert schemas["graph_id"] == "configured"
