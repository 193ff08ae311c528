"""The people's API of a run's whole story."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from shared_schemas import base, runs


class Event(StrEnum):
    """What an entry is about; each is explained in docs/reference/audit.md."""

    CREATED = "created"
    MOVED = "moved"
    CANCELLED = "cancelled"
    RESUMED = "resumed"
    LIMITS_RAISED = "limits_raised"
    MANDATE_REVOKED = "mandate_revoked"

    MESSAGE_WRITTEN = "message_written"
    MESSAGE_DELIVERED = "message_delivered"
    MESSAGE_DEAD = "message_dead"
    MESSAGE_REDELIVERED = "message_redelivered"
    WEBHOOK_RECEIVED = "webhook_received"

    SESSION_OPENED = "session_opened"
    SESSION_CLOSED = "session_closed"

    CALLED = "called"
    ANSWERED = "answered"
    REPLAYED = "replayed"
    REFUSED = "refused"
    UNDONE = "undone"

    APPROVAL_ASKED = "approval_asked"
    APPROVAL_WARNED = "approval_warned"
    APPROVAL_DECIDED = "approval_decided"
    DECISION_REFUSED = "decision_refused"

    DRAFT_REVIEWED = "draft_reviewed"


class Entry(base.Answer):
    """One thing that happened."""

    at: datetime
    event: Event
    by: str | None = None
    """The user who did it, a person or an agent's account; nobody, where one of the two sides did."""

    tool_call: UUID | None = None
    details: dict[str, Any] = {}


class Audit(base.Answer):
    """`GET /api/agents/runs/{id}/audit/`: oldest first."""

    run: runs.Run
    entries: list[Entry]


class UndoRequest(base.Request):
    """`POST /api/agents/tool-calls/{id}/undo/`."""

    comment: str = Field(default="", max_length=2000)


class Undone(base.Answer):
    """Who took a call's effect back, once."""

    tool_call: UUID
    undone_by: str
    undone_at: datetime
    comment: str = ""


class Message(base.Answer):
    """Where the delivery of a message is."""

    message_id: int
    topic: str
    key: str
    """Goes with every delivery."""

    status: Literal["pending", "delivered", "dead"]
    attempts: int
    last_error: str = ""
    delivered_at: datetime | None = None
