"""The people's API of runs and approvals."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator

from shared_schemas import base, problems
from shared_schemas.tools import Limits
from shared_schemas.usage import ModelUsage


class RunStatus(StrEnum):
    """Where a run is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LimitsAsked(Limits):
    """Limits in a request: a name that is misspelt is no limit, so it is an error."""

    model_config = ConfigDict(extra="forbid")


class RunCreate(base.Request):
    """`POST /api/agents/runs/`: an agent and its input, or the short form with a query."""

    agent: str | None = Field(default=None, max_length=100)
    input: dict[str, JsonValue] | None = None
    query: str | None = Field(default=None, min_length=1, max_length=20_000)
    """Short for `{"agent": "research", "input": {"query": ...}}`."""

    thread_id: UUID | None = None
    """Continue this conversation; without it the run has a thread of its own."""

    model: str | None = Field(default=None, max_length=100)
    tools: list[str] | None = None
    """Narrows the agent's tools; never widens them."""

    limits: LimitsAsked | None = None
    """Narrows the agent's limits; never widens them."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.query is None) == (self.input is None):
            raise ValueError("Give either 'agent' with 'input', or 'query'.")
        if self.input is not None and self.agent is None:
            raise ValueError("'input' needs 'agent'.")
        return self


class RunCreated(base.Answer):
    """202: the run is kept and will be delivered."""

    run_id: UUID
    status: RunStatus


class LimitsChange(base.Request):
    """`POST /api/agents/runs/{id}/limits/`: new limits, up to the agent's; what is not named stays."""

    tool_calls: int | None = Field(default=None, ge=0)
    writes: int | None = Field(default=None, ge=0)
    calls_per_tool: dict[str, Annotated[int, Field(ge=0)]] | None = None
    model_tokens: int | None = Field(default=None, ge=0)
    money: Decimal | None = Field(default=None, ge=0)
    wall_clock: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("Name at least one limit.")
        return self


class Run(base.Answer):
    """A run as its owner sees it."""

    run_id: UUID
    agent: str
    thread_id: str
    status: RunStatus
    input: dict[str, JsonValue]
    result: JsonValue = None
    error: problems.Failure | None = None
    model: str
    usage: list[ModelUsage] = []
    prompt_version: str = ""
    """Of the prompts that it was worked on with, by their content; empty before it ended, or where there is none."""

    cost: Decimal | None = None
    limits: Limits | None = None
    pending_approvals: list[UUID] = []
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


class RunExport(Run):
    """`GET /api/agents/runs/{id}/export/`: a run with all that is kept of its end."""

    started_by: str
    final_state: JsonValue = None
    """The values of the thread, as the graph left them."""


class RunPage(base.Answer):
    """`GET /api/agents/runs/`, newest first."""

    next: str | None = None
    previous: str | None = None
    results: list[Run]


class Change(base.Answer):
    """One place where a person changed a call's arguments."""

    pointer: str
    """RFC 6901 pointer into the arguments."""

    before: JsonValue = None
    after: JsonValue = None
    kind: Literal["added", "removed", "changed"]


class Approval(base.Answer):
    """One call that waits for a person, or was decided by one."""

    approval_id: UUID
    run_id: UUID
    agent: str
    tool: str
    arguments: dict[str, JsonValue]
    message: str
    status: Literal["pending", "approved", "rejected", "expired", "cancelled"]
    requested_by: str
    """The user the run acts for."""

    decided_by: str | None = None
    comment: str = ""
    permission: str = ""
    """What the deciding person must hold at that moment: for `record`, where the question is about one."""

    record: str | None = None
    """The record that it is about, in words."""

    four_eyes: bool = False
    """`requested_by` may not decide."""

    may_decide: bool = False
    """Whether the reader may, as things are."""

    edited_arguments: dict[str, JsonValue] | None = None
    """What was done instead of `arguments`."""

    changes: list[Change] = []
    """How `edited_arguments` differ from `arguments`."""

    input_schema: dict[str, Any]
    created_at: datetime
    expires_at: datetime
    warned_at: datetime | None = None
    """When it was noticed that the time to decide is running out."""

    decided_at: datetime | None = None


class ApprovalPage(base.Answer):
    """`GET /api/agents/approvals/`, oldest first."""

    next: str | None = None
    previous: str | None = None
    results: list[Approval]


class Decision(base.Request):
    """`POST /api/agents/approvals/{id}/decision/`."""

    decision: Literal["approve", "edit", "reject"]
    arguments: dict[str, JsonValue] | None = None
    """The arguments to run instead; only with `edit`."""

    comment: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _arguments_belong_to_an_edit(self) -> Self:
        if (self.decision == "edit") != (self.arguments is not None):
            raise ValueError("'arguments' are given with 'edit', and only with it.")
        return self
