"""The tables of Mandate."""

from mandate.models.agent import Agent
from mandate.models.approval import Approval
from mandate.models.catalogue import CatalogueModel
from mandate.models.checkpoint import Checkpoint, CheckpointBlob, CheckpointWrite
from mandate.models.comparison import Comparison
from mandate.models.draft import DraftReview
from mandate.models.note import RunNote
from mandate.models.outbox import OutboxMessage
from mandate.models.owned import AgentOwned, AiStatus
from mandate.models.run import ModelUsage, Run
from mandate.models.tool_call import CallCount, ToolCall, ToolCallLink, ToolResult
from mandate.models.tool_session import ToolSession
from mandate.models.tool_switch import ToolSwitch
from mandate.models.undo import ToolCallUndo
from mandate.models.webhook import WebhookReceipt

__all__ = [
    "Agent",
    "AgentOwned",
    "AiStatus",
    "Approval",
    "CallCount",
    "CatalogueModel",
    "Checkpoint",
    "CheckpointBlob",
    "CheckpointWrite",
    "Comparison",
    "DraftReview",
    "ModelUsage",
    "OutboxMessage",
    "Run",
    "RunNote",
    "ToolCall",
    "ToolCallLink",
    "ToolCallUndo",
    "ToolResult",
    "ToolSession",
    "ToolSwitch",
    "WebhookReceipt",
]
