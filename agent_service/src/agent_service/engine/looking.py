"""A thread's graph as it is looked at: without the model and the tools that its runs have."""

from collections.abc import Collection

from langchain_core.tools import tool
from langgraph.types import StateSnapshot

from agent_service.engine import encoding, run
from agent_service.graphs import registry


@tool
def any_tool() -> None:
    """Stand for the tools of a mandate, so that a graph has the nodes that it has with them."""


async def graph_of(graphs: registry.Registry, thread: run.Thread) -> registry.Graph | None:
    """Return the graph of a thread's last run; none before the first."""
    name = thread.metadata.get("graph_id")
    if name not in graphs.names():
        return None
    return await graphs.build(name, tools=[any_tool])


def interrupts(snapshot: StateSnapshot, *, but: Collection[str] = ()) -> dict[str, list[run.JsonObject]]:
    """Return the pending interrupts of a state by task, but for those of these ids."""
    shown = {
        task.id: [encoding.interrupt(item) for item in task.interrupts if item.id not in but]
        for task in snapshot.tasks
    }
    return {task: pending for task, pending in shown.items() if pending}
