"""Assistants: each graph has one, under its own name, without anyone creating it."""

from datetime import UTC, datetime

from agent_service import exceptions
from agent_service.api import answers, payloads
from agent_service.graphs import registry
from shared_schemas.problems import ErrorCode

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""When they were made: clients want a date, and replicas must agree on it."""


def find(graphs: registry.Registry, named: str) -> answers.Assistant:
    """Return the assistant with an id or a graph's name.

    Raises:
        RequestError: UNKNOWN_GRAPH.
    """
    if named in graphs.names():
        return _assistant(named)
    for name in graphs.names():
        if str(registry.assistant_id(name)) == named.lower():
            return _assistant(name)
    raise exceptions.RequestError(ErrorCode.UNKNOWN_GRAPH, f"There is no assistant {named!r}.")


def search(graphs: registry.Registry, wanted: payloads.AssistantSearch) -> list[answers.Assistant]:
    """Return the assistants that fit, by name."""
    found = [_assistant(name) for name in graphs.names()]
    return [assistant for assistant in found if _fits(assistant, wanted)]


def _assistant(name: str) -> answers.Assistant:
    return answers.Assistant(
        assistant_id=registry.assistant_id(name),
        graph_id=name,
        name=name,
        description=None,
        version=1,
        config={},
        context={},
        metadata={"created_by": "system"},
        created_at=ALWAYS,
        updated_at=ALWAYS,
    )


def _fits(assistant: answers.Assistant, wanted: payloads.AssistantSearch) -> bool:
    return (
        wanted.graph_id in {None, assistant.graph_id}
        and (wanted.name is None or wanted.name.lower() in assistant.name.lower())
        and (wanted.metadata or {}).items() <= assistant.metadata.items()
    )
