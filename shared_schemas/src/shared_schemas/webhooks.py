"""Webhooks from the agent service to Django: thin, so that the receiver pulls what it needs."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from shared_schemas import base


class RunEnded(base.Answer):
    """Which run ended, and how."""

    run_id: UUID
    """The agent service's run."""

    thread_id: str
    mandate_run: UUID | None = None
    """Django's run, where the run has a mandate."""

    status: Literal["success", "error", "timeout", "interrupted"]
    sequence: int = Field(ge=1)
    """Counts the webhooks of one run."""


class Webhook(base.Answer):
    """The body of a webhook."""

    type: Literal["run.ended"]
    timestamp: datetime
    data: RunEnded
