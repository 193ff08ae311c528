"""Runs a graph inside Django, with its state in Django's database."""

import importlib
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from asgiref.sync import async_to_sync
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command
from pydantic_core import to_jsonable_python

from mandate.checkpointing.saver import DjangoSaver

Graph = Pregel[Any, Any, Any, Any]


class NoGraphError(Exception):
    """What was named is not a graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a thread stands after a run; values as JSON."""

    values: Any
    interrupts: dict[str, Any]
    """What the graph waits for, by the interrupts' ids."""


def load(place: str) -> Graph:
    """Return the graph that `module.path:variable` or `file.py:variable` names, saved by a `DjangoSaver`.

    The variable is a graph, compiled or not, or a function without parameters that returns one.

    Raises:
        NoGraphError: it is something else, or there is no such thing.
    """
    source, _, variable = place.rpartition(":")
    try:
        found = getattr(_module(source), variable)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise NoGraphError(f"There is no {place!r}: {error}") from error
    built = found() if inspect.isfunction(found) else found
    if isinstance(built, StateGraph):
        built = built.compile()
    if not isinstance(built, Pregel):
        raise NoGraphError(f"{place!r} is a {type(built).__name__}, and not a graph.")
    return built.copy({"checkpointer": DjangoSaver()})


def start(graph: Graph, given: Any, *, thread_id: str) -> Outcome:
    """Give a graph an input; without one it goes on from where its thread stands."""
    return async_to_sync(_run)(graph, given, thread_id)


def resume(graph: Graph, answer: Any, *, thread_id: str) -> Outcome:
    """Answer the interrupt that a thread waits for; several are answered by a mapping of their ids."""
    return async_to_sync(_run)(graph, Command(resume=answer), thread_id)


async def _run(graph: Graph, given: Any, thread_id: str) -> Outcome:
    # Asynchronous whatever the nodes are: their ORM calls and the saver's share the caller's connection.
    config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    await graph.ainvoke(given, config, durability="sync")
    state = await graph.aget_state(config)
    return Outcome(
        values=to_jsonable_python(state.values, fallback=str),
        interrupts={one.id: to_jsonable_python(one.value, fallback=str) for one in state.interrupts},
    )


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = Path(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
