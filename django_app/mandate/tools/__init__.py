"""What an app needs to give agents a tool; everything else in this package is for Mandate itself."""

from mandate.exceptions import ToolRejected
from mandate.tools.context import Context
from mandate.tools.declaration import ApprovalRule, Repeat, Schema, tool
from shared_schemas.tools import Effect

__all__ = ["ApprovalRule", "Context", "Effect", "Repeat", "Schema", "ToolRejected", "tool"]
