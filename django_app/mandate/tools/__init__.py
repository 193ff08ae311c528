"""What an app needs to give agents a tool; everything else in this package is for Mandate itself."""

from mandate.exceptions import NotDelivered, ToolRejected
from mandate.models.outbox import OutboxMessage
from mandate.tools.choosing import choices, grows_with
from mandate.tools.context import Context
from mandate.tools.declaration import ApprovalRule, Repeat, Schema, tool
from mandate.tools.reviewing import publishes
from mandate.tools.scopes import records
from mandate.tools.topics import topic
from shared_schemas.tools import Effect

__all__ = [
    "ApprovalRule",
    "Context",
    "Effect",
    "NotDelivered",
    "OutboxMessage",
    "Repeat",
    "Schema",
    "ToolRejected",
    "choices",
    "grows_with",
    "publishes",
    "records",
    "tool",
    "topic",
]
