import json
import uuid

import pytest
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent_service import exceptions
from agent_service.graphs import registry
from agent_service.tools import binding
from shared_schemas import tools
from shared_schemas.problems import ErrorCode

GRAPHS = """
from typing import TypedDict
from langgraph.graph import StateGraph

class State(TypedDict):
    count: int

def step(state: State) -> State:
    return {"count": state["count"] + 1}

builder = StateGraph(State)
builder.add_node("step", step)
builder.set_entry_point("step")
builder.set_finish_point("step")
compiled = builder.compile()
seen = []

def factory(model, tools):
    return builder.compile()

async def with_config(config):
    seen.append(config)
    return builder

def greedy(database):
    return builder

def broken():
    raise RuntimeError("no network")

number = 7
"""


@pytest.fixture
def declare(tmp_path):
    (tmp_path / "graphs.py").write_text(GRAPHS)

    def write(**graphs):
        path = tmp_path / "langgraph.json"
        path.write_text(json.dumps({"graphs": graphs, "dependencies": ["."]}))
        return path

    return write


@pytest.fixture
def load(declare):
    async def load_one(variable):
        return await registry.load(declare(mine=f"./graphs.py:{variable}"))

    return load_one


def spec(**fields):
    given = {"name": "look", "description": "Look.", "effect": "read", "version": "1", "output_schema": {}}
    return tools.ToolSpec(input_schema={"type": "object", "properties": {}}, **given | fields)


@pytest.mark.parametrize("variable", ["builder", "compiled", "factory", "with_config"])
async def test_every_form_of_a_graph_is_built(load, variable):
    graphs = await load(variable)

    graph = await graphs.build("mine")

    assert isinstance(graph, CompiledStateGraph)
    assert graph.checkpointer is None
    assert await graph.ainvoke({"count": 1}) == {"count": 2}


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("./missing.py:graph", "missing.py"),
        ("./graphs.py:missing", "missing"),
        ("no.such.module:graph", "no"),
        ("./graphs.py:broken", "no network"),
        ("./graphs.py:greedy", "database"),
        ("./graphs.py:number", "callable"),
    ],
)
async def test_a_graph_that_fails_to_load_stops_the_start(declare, place, cause):
    with pytest.raises(exceptions.ConfigurationError, match=cause) as caught:
        await registry.load(declare(mine=place))

    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "{}", '{"graphs": {}}'])
async def test_a_file_without_graphs_stops_the_start(tmp_path, text):
    path = tmp_path / "langgraph.json"
    path.write_text(text)

    with pytest.raises(exceptions.ConfigurationError, match="langgraph"):
        await registry.load(path)


async def test_an_unknown_graph_fails_the_run(load):
    graphs = await load("compiled")

    with pytest.raises(exceptions.RunFailed) as caught:
        await graphs.build("other")

    assert caught.value.code is ErrorCode.UNKNOWN_GRAPH


async def test_equal_tools_share_one_build(load):
    graphs = await load("factory")

    first = await graphs.build("mine", tools=binding.bind([spec()]))
    second = await graphs.build("mine", tools=binding.bind([spec()]))

    assert first is second


@pytest.mark.parametrize("change", [{"description": "Look well."}, {"effect": "write"}, {"version": "2"}])
async def test_tools_that_differ_in_anything_do_not_share_a_build(load, change):
    graphs = await load("factory")

    first = await graphs.build("mine", tools=binding.bind([spec()]))
    second = await graphs.build("mine", tools=binding.bind([spec(**change)]))

    assert first is not second


async def test_models_do_not_share_a_build(load):
    graphs = await load("factory")

    first = await graphs.build("mine", model=registry.NoModel())
    second = await graphs.build("mine", model=registry.NoModel())

    assert first is not second


async def test_a_factory_that_asks_for_the_configuration_gets_it_each_time(load):
    graphs = await load("with_config")

    await graphs.build("mine", config={"tags": ["a"]})

    assert graphs.sources["mine"].__globals__["seen"][-1] == {"tags": ["a"]}


def test_an_assistants_id_is_the_same_everywhere():
    assert registry.assistant_id("agent") == uuid.UUID("fe096781-5601-53d2-b2f6-0d3403f7e9ca")


async def test_schemas_and_drawing_of_a_graph(load):
    graphs = await load("compiled")

    assert graphs.schemas("mine").input_schema["properties"].keys() == {"count"}
    assert graphs.schemas("mine").state_schema["properties"].keys() == {"count"}
    assert "step" in [node["id"] for node in graphs.drawing("mine")["nodes"]]
    assert graphs.drawing("mine") is graphs.drawing("mine")


async def test_a_graph_without_model_fails_only_when_it_asks_one():
    def ask(state: MessagesState):
        return {"messages": [registry.NoModel().invoke("hello")]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.set_entry_point("ask")

    with pytest.raises(exceptions.RunFailed) as caught:
        await builder.compile().ainvoke({"messages": []})

    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


async def test_the_bundled_graphs_load():
    graphs = await registry.load()

    assert graphs.names() == [
        "practice_author",
        "practice_conditions",
        "practice_solution",
        "practice_tests",
        "research",
    ]
    assert "module_id" in graphs.schemas("practice_author").input_schema["properties"]


@pytest.fixture
def prompted(declare, tmp_path):
    """Declare a graph whose prompts are in a folder, with some text or none."""

    def write(text=None):
        path = declare(counter="./graphs.py:compiled")
        rules = {"mandate": {"graphs": {"counter": {"prompts": "templates"}}}}
        path.write_text(json.dumps(json.loads(path.read_text()) | rules))
        (tmp_path / "templates").mkdir(exist_ok=True)
        if text is not None:
            (tmp_path / "templates" / "ask.md").write_text(text)
        return path

    return write


async def test_prompts_have_a_version_by_their_content(prompted):
    versions = [
        (await registry.load(prompted(text))).prompt_version("counter") for text in ("Ask.", "Ask.", "Beg.")
    ]

    assert versions[0] == versions[1] != versions[2]


async def test_prompts_that_are_not_there_stop_the_service(prompted):
    with pytest.raises(exceptions.ConfigurationError, match="no prompt templates"):
        await registry.load(prompted())


async def test_each_bundled_graph_has_prompts_of_its_own():
    graphs = await registry.load()

    versions = {graphs.prompt_version(name) for name in graphs.names()}

    assert None not in versions
    assert len(versions) == len(graphs.names())
