"""What the server is, whether it works, and what it does not offer."""

from importlib import metadata

from fastapi import APIRouter

from agent_service import exceptions
from agent_service.api import answers, repeating
from agent_service.api.dependencies import Services
from agent_service.api.errors import problems_for
from shared_schemas.problems import ErrorCode

router = APIRouter(tags=["system"], route_class=repeating.Route)

_NOT_OFFERED = ("/runs/crons", "/threads/{thread_id}/runs/crons", "/store", "/a2a", "/mcp")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@router.get("/info")
async def info() -> answers.Info:
    """Return the server's version and what it can do."""
    return answers.Info(
        version=metadata.version("mandate-agent-service"),
        langgraph_py_version=metadata.version("langgraph"),
        flags={"assistants": True, "crons": False, "langsmith": False, "strict_resume": True},
    )


@router.get("/ok", responses={503: problems_for()[503]})
async def ok(services: Services) -> answers.Health:
    """Answer 200 if the database answers too."""
    await services.check()
    return answers.Health(ok=True)


async def _not_offered() -> None:
    raise exceptions.RequestError(
        ErrorCode.NOT_OFFERED, "Crons, the store, A2A and MCP are not part of this service."
    )


for _path in _NOT_OFFERED:
    for _suffix in ("", "/{rest:path}"):
        router.add_api_route(_path + _suffix, _not_offered, methods=_METHODS, include_in_schema=False)
