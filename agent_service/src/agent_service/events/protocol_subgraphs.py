"""When a run's subgraphs begin and end, read from the tasks of the graphs above them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Namespace = tuple[str, ...]


@dataclass(slots=True)
class Subgraphs:
    """The subgraphs of one run."""

    _open: dict[Namespace, str] = field(default_factory=dict)
    """Under which name each one began."""

    _calls: dict[str, str] = field(default_factory=dict)
    """The tool call that a task was made for, by the task's id."""

    def begin(self, namespace: Namespace, task: Json) -> Iterator[tuple[Namespace, Json]]:
        """Yield the beginning of the graph of a namespace whose first task this is."""
        if call := _tool_call(task.get("input")):
            self._calls[task["id"]] = call
        if not namespace or namespace in self._open:
            return
        name, _, parent = namespace[-1].partition(":")
        agent = (task.get("metadata") or {}).get("lc_agent_name")
        self._open[namespace] = agent or name
        data = {"event": "started", "graph_name": agent or name, "trigger_call_id": parent}
        if agent and parent in self._calls:
            data["cause"] = {"type": "toolCall", "tool_call_id": self._calls[parent]}
        yield namespace, data

    def end(self, namespace: Namespace, result: Json) -> Iterator[tuple[Namespace, Json]]:
        """Yield the ends of the graphs that ran in a task."""
        for child in tuple(self._open):
            if child[:-1] == namespace and child[-1].endswith(f":{result['id']}"):
                yield child, {"graph_name": self._open.pop(child), **_outcome(result)}

    def end_all(self, outcome: Json) -> Iterator[tuple[Namespace, Json]]:
        """Yield the ends of those that are still open, the innermost first."""
        for child in sorted(self._open, key=len, reverse=True):
            yield child, {"graph_name": self._open.pop(child), **outcome}


def _tool_call(given: Any) -> str | None:
    calls = (
        given if isinstance(given, list) else [given.get("tool_call") if isinstance(given, dict) else None]
    )
    named = [call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)]
    return named[0] if named else None


def _outcome(result: Json) -> Json:
    if result.get("interrupts"):
        return {"event": "interrupted"}
    if result.get("error"):
        return {"event": "failed", "error": str(result["error"])}
    return {"event": "completed"}
