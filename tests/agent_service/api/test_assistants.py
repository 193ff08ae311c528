import pytest
from langgraph_sdk import errors


async def test_every_graph_has_an_assistant(client):
    found = await client.assistants.search(limit=100)

    assert {assistant["graph_id"] for assistant in found} >= {"echo", "asking", "failing"}
    assert await client.assistants.count() == len(found)


async def test_assistants_are_found_by_their_graph(client):
    (found,) = await client.assistants.search(graph_id="echo")

    assert found["name"] == "echo"


async def test_an_assistant_is_found_by_its_id_and_by_its_graphs_name(client):
    by_name = await client.assistants.get("echo")

    assert await client.assistants.get(by_name["assistant_id"]) == by_name


async def test_a_graph_is_drawn(client):
    drawing = await client.assistants.get_graph("asking")

    assert {node["id"] for node in drawing["nodes"]} == {"__start__", "ask", "shout", "__end__"}
    assert {"source": "ask", "target": "shout"} in drawing["edges"]


async def test_a_graphs_schemas_are_told(client):
    schemas = await client.assistants.get_schemas("echo")

    assert schemas["graph_id"] == "echo"
    assert set(schemas["input_schema"]["properties"]) == {"text", "answers"}


async def test_an_unknown_assistant_is_not_found(client):
    with pytest.raises(errors.NotFoundError):
        await client.assistants.get("nonsense")
