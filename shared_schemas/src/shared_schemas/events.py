"""What `GET /api/agents/runs/{id}/events/` streams: the run's status, and what its graph tells on the way."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, JsonValue, TypeAdapter

from shared_schemas import base, problems
from shared_schemas.runs import RunStatus

EventId = Annotated[str, Field(pattern=r"^[1-9][0-9]*-.+$")]
"""`{segment}-{the agent service's id}`; sent back as `Last-Event-ID`, it yields exactly the rest."""


class StatusChanged(base.Answer):
    """Where the run is now."""

    run_id: UUID
    status: RunStatus
    error: problems.Failure | None = None


class StatusEvent(base.Answer):
    """Told whenever the status changes, and to everybody who comes. It has no id."""

    event: Literal["status"]
    data: StatusChanged


class UpdatesEvent(base.Answer):
    """What a step changed in the state, by the names of its nodes; of a subgraph, `updates|namespace`."""

    event: Annotated[str, Field(pattern=r"^updates(\|.+)?$")]
    id: EventId
    data: dict[str, JsonValue]


class MessagesEvent(base.Answer):
    """A piece of a message while the model writes it, and where it comes from."""

    event: Annotated[str, Field(pattern=r"^messages(\|.+)?$")]
    id: EventId
    data: tuple[dict[str, JsonValue], dict[str, JsonValue]]


class CustomEvent(base.Answer):
    """What a node chose to tell."""

    event: Annotated[str, Field(pattern=r"^custom(\|.+)?$")]
    id: EventId
    data: JsonValue


class Error(base.Answer):
    """Why a segment failed."""

    error: problems.ErrorCode
    message: str


class ErrorEvent(base.Answer):
    """A segment failed; the status says whether the run did."""

    event: Literal["error"]
    id: EventId
    data: Error


RunEvent = StatusEvent | UpdatesEvent | MessagesEvent | CustomEvent | ErrorEvent
"""One server-sent event: its name, its id and its data."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of one event."""
    return {"title": "RunEvent"} | TypeAdapter(RunEvent).json_schema()
