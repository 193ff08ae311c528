"""A graph's shape as a text, and whether a thread that another shape left can go on.

LangGraph leaves out what a changed graph no longer has: a step that waits would be gone without a word.
"""

import hashlib
import json
import re
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.channels.base import BaseChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Send, StateSnapshot

from agent_service import exceptions
from shared_schemas.problems import ErrorCode

Graph = Pregel[Any, Any, Any, Any]

FINGERPRINT = "graph_fingerprint"
"""Under this name the shape of the graph that made a checkpoint stands in its metadata."""

_BRANCH = "branch:to:"
_JOIN = "join:"
_SENDS = "__pregel_tasks"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(graph: Graph) -> str:
    """Return the same text for graphs of the same nodes, edges and channels, in any process."""
    return hashlib.sha256(json.dumps(_shape(graph), sort_keys=True).encode()).hexdigest()[:32]


async def check(
    graph: Graph, snapshot: StateSnapshot, *, saver: BaseCheckpointSaver[Any], shape: str
) -> None:
    """Refuse to go on from where a graph of another shape stands, if a step that waits there is gone.

    Raises:
        RunFailed: GRAPH_VERSION_MISMATCH.
    """
    left_by = (snapshot.metadata or {}).get(FINGERPRINT)
    if left_by is None or left_by == shape:
        return
    gone = await _gone(graph, snapshot.config, snapshot, saver)
    if gone:
        raise exceptions.RunFailed(
            ErrorCode.GRAPH_VERSION_MISMATCH,
            f"The graph was changed while the thread waited, and has no {_named(gone)} any more.",
        )


async def _gone(
    graph: Graph, config: RunnableConfig, snapshot: StateSnapshot, saver: BaseCheckpointSaver[Any]
) -> list[str]:
    kept = await saver.aget_tuple(config)
    if kept is None:
        return []
    gone = sorted(waiting(kept.checkpoint) - set(graph.nodes))
    inner = _inside(graph)
    for task in snapshot.tasks:
        if isinstance(task.state, dict) and task.name in inner:
            below = inner[task.name].copy({"checkpointer": saver})
            state = await below.aget_state(task.state)
            gone += [f"{task.name}.{name}" for name in await _gone(below, task.state, state, saver)]
    return gone


def waiting(checkpoint: Checkpoint) -> set[str]:
    """Return the nodes that come next, as the checkpoint has them and whatever graph there is."""
    values = checkpoint["channel_values"]
    nodes = {name.removeprefix(_BRANCH) for name in values if name.startswith(_BRANCH)}
    nodes |= {send.node for send in values.get(_SENDS) or () if isinstance(send, Send)}
    for name, seen in values.items():
        awaited, _, node = name.removeprefix(_JOIN).rpartition(":")
        if name.startswith(_JOIN) and isinstance(seen, set) and "+".join(sorted(seen)) == _sorted(awaited):
            nodes.add(node)
    return nodes


def _sorted(awaited: str) -> str:
    return "+".join(sorted(awaited.split("+")))


def _shape(graph: Graph) -> dict[str, Any]:
    edges: list[Any] = []
    if isinstance(graph, CompiledStateGraph):
        builder = graph.builder
        edges = [
            sorted(builder.edges),
            sorted([sorted(starts), end] for starts, end in builder.waiting_edges),
        ]
        edges.append(
            sorted(
                [start, name, sorted((branch.ends or {}).values())]
                for start, branches in builder.branches.items()
                for name, branch in branches.items()
            )
        )
    return {
        "nodes": {name: sorted(node.triggers) for name, node in graph.nodes.items()},
        "edges": edges,
        "channels": {name: _look(channel) for name, channel in graph.channels.items()},
        "inside": {name: _shape(inner) for name, inner in _inside(graph).items()},
    }


def _inside(graph: Graph) -> dict[str, Graph]:
    return {name: inner for name, inner in graph.get_subgraphs() if isinstance(inner, Pregel)}


def _look(channel: Any) -> list[str]:
    kind = type(channel).__name__
    return [kind, _ADDRESS.sub("", repr(channel.UpdateType))] if isinstance(channel, BaseChannel) else [kind]


def _named(nodes: list[str]) -> str:
    return ("node " if len(nodes) == 1 else "nodes ") + ", ".join(repr(node) for node in nodes)
