"""Assistants: the graphs that runs may ask for, and what people store to run them with."""

import dataclasses
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from agent_service.api import answers, payloads, repeating
from agent_service.api.dependencies import Idempotency, Reader, Services, Writer
from agent_service.api.errors import Responses, problems_for

router = APIRouter(prefix="/assistants", tags=["assistants"], route_class=repeating.Route)

_FIND = problems_for(404)
_CHANGE = problems_for(404, 413, 415)
_EVERY = payloads.AssistantSearch()
_ALL_VERSIONS = payloads.VersionSearch()
_NEXT = "X-Pagination-Next"
_PAGES: Responses = {
    200: {"headers": {_NEXT: {"description": "Offset of the next page", "schema": {"type": "string"}}}}
}

AssistantId = Annotated[str, Path(max_length=200, description="An assistant's id, or the name of a graph.")]
Namespace = Annotated[str, Path(max_length=1000)]
Drawing = dict[str, list[dict[str, Any]]]


@router.post("", responses=problems_for(404, 409, 413, 415))
async def create_assistant(
    body: payloads.AssistantCreate, caller: Writer, services: Services, idempotency: Idempotency
) -> answers.Assistant:
    """Store an assistant, or with `if_exists: do_nothing` return the one that is there."""
    made = await services.assistants.create(
        body.model_dump(include=payloads.STORED),
        assistant_id=body.assistant_id or uuid.uuid4(),
        owner=caller.subject,
        may_exist=body.if_exists == "do_nothing",
        idempotency=idempotency,
    )
    return answers.Assistant.model_validate(made)


@router.post(
    "/search",
    responses=problems_for(413, 415) | _PAGES,
    response_model=list[answers.Assistant | answers.Json],
)
async def search_assistants(
    caller: Reader, services: Services, response: Response, body: payloads.AssistantSearch = _EVERY
) -> list[answers.Assistant] | list[answers.Json]:
    """Return the assistants that fit, latest first."""
    found, count = await services.assistants.search(body.wanted, owner=caller.subject)
    following = body.offset + len(found)
    if found and following < count:
        response.headers[_NEXT] = str(following)
    every = [answers.Assistant.model_validate(assistant) for assistant in found]
    return every if body.select is None else [assistant.only(body.select) for assistant in every]


@router.post("/count", responses=problems_for(413, 415))
async def count_assistants(
    caller: Reader, services: Services, body: payloads.AssistantSearch = _EVERY
) -> int:
    """Return how many assistants fit."""
    first = dataclasses.replace(body.wanted, limit=1, offset=0)
    _, count = await services.assistants.search(first, owner=caller.subject)
    return count


@router.get("/{assistant_id}", responses=_FIND)
async def get_assistant(assistant_id: AssistantId, caller: Reader, services: Services) -> answers.Assistant:
    """Return an assistant."""
    return answers.Assistant.model_validate(
        await services.assistants.find(assistant_id, owner=caller.subject)
    )


@router.patch("/{assistant_id}", responses=_CHANGE)
async def update_assistant(
    assistant_id: AssistantId, body: payloads.AssistantPatch, caller: Writer, services: Services
) -> answers.Assistant:
    """Add a version of the assistant and put it in force."""
    changed = await services.assistants.update(
        assistant_id, body.model_dump(include=payloads.STORED), owner=caller.subject
    )
    return answers.Assistant.model_validate(changed)


@router.delete("/{assistant_id}", status_code=204, responses=problems_for(404, 409))
async def delete_assistant(
    assistant_id: AssistantId, caller: Writer, services: Services, *, delete_threads: bool = False
) -> None:
    """Delete an assistant, with `delete_threads` also the threads that it was last used on."""
    found = await services.assistants.find(assistant_id, owner=caller.subject)
    if delete_threads:
        await services.threads.delete_of(found.assistant_id, owner=caller.subject, by_person=caller.is_person)
    await services.assistants.delete(assistant_id, owner=caller.subject)


@router.post("/{assistant_id}/versions", responses=_CHANGE)
async def list_versions(
    assistant_id: AssistantId,
    caller: Reader,
    services: Services,
    body: payloads.VersionSearch = _ALL_VERSIONS,
) -> list[answers.Assistant]:
    """Return the assistant's versions, newest first."""
    found = await services.assistants.versions(
        assistant_id,
        owner=caller.subject,
        metadata=body.metadata or {},
        limit=body.limit,
        offset=body.offset,
    )
    return [answers.Assistant.model_validate(version) for version in found]


@router.post("/{assistant_id}/latest", responses=_CHANGE)
async def set_latest(
    assistant_id: AssistantId, body: payloads.VersionChoice, caller: Writer, services: Services
) -> answers.Assistant:
    """Put a version of the assistant in force."""
    chosen = await services.assistants.set_latest(assistant_id, body.version, owner=caller.subject)
    return answers.Assistant.model_validate(chosen)


@router.get("/{assistant_id}/graph", responses=_FIND)
async def get_graph(
    assistant_id: AssistantId, caller: Reader, services: Services, *, xray: bool | int = False
) -> Drawing:
    """Return the nodes and edges of the assistant's graph."""
    found = await services.assistants.find(assistant_id, owner=caller.subject)
    return services.registry.drawing(found.graph_id, xray=xray)


@router.get("/{assistant_id}/schemas", responses=_FIND)
async def get_schemas(assistant_id: AssistantId, caller: Reader, services: Services) -> answers.Schemas:
    """Return what the assistant's graph takes and gives, as JSON Schemas."""
    found = await services.assistants.find(assistant_id, owner=caller.subject)
    schemas = services.registry.schemas(found.graph_id)
    return answers.Schemas(graph_id=found.graph_id, **dataclasses.asdict(schemas))


@router.get("/{assistant_id}/subgraphs", responses=_FIND)
async def get_subgraphs(
    assistant_id: AssistantId, caller: Reader, services: Services, *, recurse: bool = False
) -> dict[str, answers.Schemas]:
    """Return the schemas of the graphs inside the assistant's graph, by namespace."""
    return await _subgraphs(services, assistant_id, caller.subject, recurse=recurse)


@router.get("/{assistant_id}/subgraphs/{namespace}", responses=_FIND)
async def get_subgraphs_of_namespace(
    assistant_id: AssistantId,
    namespace: Namespace,
    caller: Reader,
    services: Services,
    *,
    recurse: bool = False,
) -> dict[str, answers.Schemas]:
    """Return the schemas of the graph with a namespace, and of those inside it."""
    return await _subgraphs(services, assistant_id, caller.subject, recurse=recurse, namespace=namespace)


async def _subgraphs(
    services: Services, named: str, owner: str, *, recurse: bool, namespace: str | None = None
) -> dict[str, answers.Schemas]:
    graph_id = (await services.assistants.find(named, owner=owner)).graph_id
    inside = services.registry.subgraphs(graph_id, namespace=namespace, recurse=recurse)
    return {
        name: answers.Schemas(graph_id=graph_id, **dataclasses.asdict(schemas))
        for name, schemas in inside.items()
    }
