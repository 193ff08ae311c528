"""Assistants: the graphs that runs may ask for."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Path

from agent_service.api import answers, catalogue, payloads
from agent_service.api.dependencies import Reader, Services
from agent_service.api.errors import problems_for

router = APIRouter(prefix="/assistants", tags=["assistants"])

_FIND = problems_for(404)
_EVERY = payloads.AssistantSearch()

AssistantId = Annotated[str, Path(max_length=200, description="An assistant's id, or the name of a graph.")]


@router.post("/search", responses=problems_for(413, 415))
async def search_assistants(
    _: Reader, services: Services, body: payloads.AssistantSearch = _EVERY
) -> list[answers.Assistant]:
    """Return the assistants that fit, by name."""
    found = catalogue.search(services.registry, body)
    return found[body.offset : body.offset + body.limit]


@router.post("/count", responses=problems_for(413, 415))
async def count_assistants(_: Reader, services: Services, body: payloads.AssistantSearch = _EVERY) -> int:
    """Return how many assistants fit."""
    return len(catalogue.search(services.registry, body))


@router.get("/{assistant_id}", responses=_FIND)
async def get_assistant(assistant_id: AssistantId, _: Reader, services: Services) -> answers.Assistant:
    """Return an assistant."""
    return catalogue.find(services.registry, assistant_id)


@router.get("/{assistant_id}/graph", responses=_FIND)
async def get_graph(
    assistant_id: AssistantId, _: Reader, services: Services, *, xray: bool | int = False
) -> dict[str, list[dict[str, Any]]]:
    """Return the nodes and edges of the assistant's graph."""
    name = catalogue.find(services.registry, assistant_id).graph_id
    return services.registry.drawing(name, xray=xray)


@router.get("/{assistant_id}/schemas", responses=_FIND)
async def get_schemas(assistant_id: AssistantId, _: Reader, services: Services) -> answers.Schemas:
    """Return what the assistant's graph takes and gives, as JSON Schemas."""
    name = catalogue.find(services.registry, assistant_id).graph_id
    return answers.Schemas(graph_id=name, **dataclasses.asdict(services.registry.schemas(name)))
