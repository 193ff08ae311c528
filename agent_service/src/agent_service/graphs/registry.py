"""The graphs of this service by name, built for a model and a mandate's tools."""

import hashlib
import inspect
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.channels.base import BaseChannel
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from pydantic import BaseModel, PydanticUserError, TypeAdapter, create_model

from agent_service import exceptions
from agent_service.graphs import loading, shapes
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode

JsonObject = dict[str, Any]
Graph = Pregel[Any, Any, Any, Any]

_ASSISTANTS = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace that LangGraph's own server gives assistants' ids from: a graph has the same id there."""

_OFFERED = frozenset({"model", "fallback", "tools", "config"})
_NO_RULES = loading.Rules()
_KEPT = 256
"""How many built graphs are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schemas:
    """The JSON Schemas of a graph, under LangGraph's names."""

    input_schema: JsonObject
    output_schema: JsonObject
    state_schema: JsonObject
    context_schema: JsonObject
    config_schema: JsonObject


class NoModel(BaseChatModel):
    """Stands where a model goes while a graph is built to be looked at, and in runs that name none."""

    @property
    def _llm_type(self) -> str:
        return "none"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ARG002 - its base's
        raise exceptions.RunFailed(ErrorCode.UNKNOWN_MODEL, "The run names no model, and the graph asks one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What a `langgraph.json` declares."""

    sources: dict[str, Any]
    """A compiled graph, a `StateGraph` or a factory, by name."""

    rules: dict[str, loading.Rules] = field(default_factory=dict)
    """By name, where a graph has some."""

    prompt_versions: dict[str, str] = field(default_factory=dict)
    """By the name of the graph, where its prompts are in a folder that the file names."""

    plain: dict[str, Graph] = field(default_factory=dict)
    """Each graph without model and tools: for its schemas and its drawing."""

    no_model: BaseChatModel = field(default_factory=NoModel)
    built: OrderedDict[tuple[str, int, int, str], tuple[BaseChatModel, BaseChatModel | None, Graph]] = field(
        default_factory=OrderedDict
    )
    fingerprints: WeakKeyDictionary[Graph, str] = field(default_factory=WeakKeyDictionary)
    schemas_read: dict[str, Schemas] = field(default_factory=dict)
    drawings: dict[tuple[str, int | bool], JsonObject] = field(default_factory=dict)

    def names(self) -> list[str]:
        return sorted(self.sources)

    def rules_of(self, name: str) -> loading.Rules:
        return self.rules.get(name, _NO_RULES)

    def prompt_version(self, name: str) -> str | None:
        """Return the version of a graph's prompts, if they are in files."""
        return self.prompt_versions.get(name)

    async def build(
        self,
        name: str,
        *,
        tools: Sequence[BaseTool] = (),
        model: BaseChatModel | None = None,
        fallback: BaseChatModel | None = None,
        config: RunnableConfig | None = None,
    ) -> Graph:
        """Return a compiled graph without checkpointer; give it one with `graph.copy({"checkpointer": ...})`.

        Raises:
            RunFailed: there is no such graph, or it cannot be built.
        """
        source = self._source(name)
        if not callable(source):
            return self.plain[name]
        chosen = model or self.no_model
        if "config" in _parameters(source):
            return await _build(
                name, source, tools=tools, model=chosen, fallback=fallback, config=config or {}
            )
        key = (name, id(chosen), id(fallback), digest(tools))
        if key not in self.built:
            graph = await _build(name, source, tools=tools, model=chosen, fallback=fallback, config={})
            # The models are kept with the graph, so that no other object can get their ids.
            self.built[key] = (chosen, fallback, graph)
            while len(self.built) > _KEPT:
                self.built.popitem(last=False)
        self.built.move_to_end(key)
        return self.built[key][-1]

    def fingerprint(self, graph: Graph) -> str:
        """Return a graph's shape as a text."""
        if graph not in self.fingerprints:
            self.fingerprints[graph] = shapes.fingerprint(graph)
        return self.fingerprints[graph]

    def schemas(self, name: str) -> Schemas:
        """Return a graph's schemas."""
        graph = self._plain(name)
        if name not in self.schemas_read:
            self.schemas_read[name] = _schemas(graph)
        return self.schemas_read[name]

    def drawing(self, name: str, *, xray: int | bool = False) -> JsonObject:
        """Return a graph's nodes and edges."""
        graph = self._plain(name)
        if (name, xray) not in self.drawings:
            self.drawings[name, xray] = graph.get_graph(xray=xray).to_json()
        return self.drawings[name, xray]

    def subgraphs(
        self, name: str, *, namespace: str | None = None, recurse: bool = False
    ) -> dict[str, Schemas]:
        """Return the schemas of the graphs inside a graph, by namespace."""
        found = self._plain(name).get_subgraphs(namespace=namespace, recurse=recurse)
        return {inner: _schemas(graph) for inner, graph in found if isinstance(graph, Pregel)}

    def _source(self, name: str) -> Any:
        if name not in self.sources:
            raise exceptions.RunFailed(ErrorCode.UNKNOWN_GRAPH, f"There is no graph {name!r}.")
        return self.sources[name]

    def _plain(self, name: str) -> Graph:
        self._source(name)
        return self.plain[name]


async def load(path: Path | None = None) -> Registry:
    """Load the graphs of a `langgraph.json`, the bundled one by default, and build each once.

    Raises:
        ConfigurationError: one cannot be loaded or built; the message names its place and the cause.
    """
    loaded = loading.load(path or loading.BUNDLED)
    registry = Registry(sources=loaded.sources, rules=loaded.rules, prompt_versions=loaded.prompt_versions)
    for name, source in registry.sources.items():
        try:
            registry.plain[name] = await _build(name, source, tools=(), model=registry.no_model, config={})
        except Exception as error:
            # A factory is somebody else's code; the service does not start with a broken one.
            raise exceptions.ConfigurationError(f"Graph {name!r} cannot be built: {error}") from error
    return registry


def assistant_id(name: str) -> uuid.UUID:
    """Return the id of the assistant that a graph has without anyone creating it."""
    return uuid.uuid5(_ASSISTANTS, name)


def digest(tools: Sequence[BaseTool]) -> str:
    """Return one text for tools that are the same to a graph, whoever's session they came from."""
    return hashlib.sha256(json.dumps([_look(tool) for tool in tools], sort_keys=True).encode()).hexdigest()


async def _build(
    name: str,
    source: Any,
    *,
    tools: Sequence[BaseTool],
    model: BaseChatModel,
    config: RunnableConfig,
    fallback: BaseChatModel | None = None,
) -> Graph:
    graph = source
    if not isinstance(source, Pregel | StateGraph):
        offered = {"model": model, "fallback": fallback, "tools": list(tools), "config": config}
        wanted = _parameters(source)
        graph = source(**{parameter: offered[parameter] for parameter in wanted})
        if inspect.isawaitable(graph):
            graph = await graph
    if isinstance(graph, StateGraph):
        graph = graph.compile()
    if not isinstance(graph, Pregel):
        raise exceptions.RunFailed(
            ErrorCode.GRAPH_FAILED,
            f"Graph {name!r} is a {type(graph).__name__}, not a graph or a factory of one.",
        )
    return graph


def _parameters(factory: Callable[..., Any]) -> list[str]:
    """Return what of the models, the tools and the configuration a factory asks for.

    Raises:
        RunFailed: it needs something else.
    """
    parameters = inspect.signature(factory).parameters
    needed = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    if unknown := sorted(needed - _OFFERED):
        raise exceptions.RunFailed(
            ErrorCode.GRAPH_FAILED,
            f"the factory needs {unknown}; it may ask for 'model', 'fallback', 'tools' and 'config'",
        )
    return [name for name in parameters if name in _OFFERED]


def _look(tool: BaseTool) -> JsonObject:
    if isinstance(tool, binding.DjangoTool):
        return tool.spec.model_dump(mode="json")
    schema = tool.tool_call_schema
    return {
        "name": tool.name,
        "description": tool.description,
        "return_direct": tool.return_direct,
        "input_schema": schema if isinstance(schema, dict) else TypeAdapter(schema).json_schema(),
    }


def _schemas(graph: Graph) -> Schemas:
    return Schemas(
        input_schema=_schema_or_fields(graph, "input"),
        output_schema=_schema_or_fields(graph, "output"),
        state_schema=_or_any(lambda: _fields_schema(graph, "State", graph.stream_channels_list)),
        context_schema=_or_any(lambda: graph.get_context_jsonschema() or {}),
        config_schema={"type": "object", "properties": {}},
    )


def _schema_or_fields(graph: Graph, side: Literal["input", "output"]) -> JsonObject:
    try:
        return graph.get_input_jsonschema() if side == "input" else graph.get_output_jsonschema()
    except PydanticUserError:
        # Before Python 3.12 a `typing.TypedDict` has no schema of its own; its fields have.
        if not isinstance(graph, CompiledStateGraph):
            return {}
    typ = graph.builder.input_schema if side == "input" else graph.builder.output_schema
    return _or_any(lambda: _fields_schema(graph, side.title(), list(graph.builder.schemas[typ])))


def _fields_schema(graph: Graph, title: str, names: Sequence[str]) -> JsonObject:
    channels = {name: graph.channels[name] for name in names}
    fields: dict[str, Any] = {
        name: (channel.UpdateType, None)
        for name, channel in channels.items()
        if isinstance(channel, BaseChannel)
    }
    model: type[BaseModel] = create_model(f"{graph.get_name()}{title}", **fields)
    return model.model_json_schema()


def _or_any(read: Callable[[], JsonObject]) -> JsonObject:
    """Return a schema, or the one that everything fits where a graph's types have none."""
    try:
        return read()
    except PydanticUserError:
        return {}
