"""The tool API: the agent service calls, Django answers."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, JsonValue, RootModel

from shared_schemas import base
from shared_schemas.usage import ModelUsage, Price

MAX_BODY_BYTES = 256 * 1024

JsonSchema = dict[str, Any]


class Effect(StrEnum):
    """What a tool does to the records."""

    READ = "read"
    """Nothing: it needs no key and is not stored."""

    WRITE = "write"
    """It changes them: its effect and its ledger row commit together."""


class Limits(base.Answer):
    """How much one run may use; `None` is no limit."""

    tool_calls: int | None = Field(default=None, ge=0)
    writes: int | None = Field(default=None, ge=0)
    calls_per_tool: dict[str, int] = {}
    model_tokens: int | None = Field(default=None, ge=0)
    money: Decimal | None = Field(default=None, ge=0)
    """In the currency that the prices of the models are given in."""

    wall_clock: int | None = Field(default=None, ge=1)
    """Seconds, without the time a person takes to decide."""


class ToolSpec(base.Answer):
    """One tool as a model sees it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    description: str
    effect: Effect
    version: str
    """Changes with the tool's schemas, so that an old answer is never given for a new question."""

    input_schema: JsonSchema
    output_schema: JsonSchema
    return_direct: bool = False
    """After this tool succeeds the model is not asked again."""

    needs_approval: bool = False
    max_corrections: int = Field(default=1, ge=0)
    """How often the model may correct arguments that fail the schema."""

    tell_model_rejections: bool = False
    """A refusal by a business rule goes to the model instead of stopping the run."""


class SessionCreate(base.Request):
    """Open a tool session for a run, or renew its token: `POST /agent-api/sessions/`."""

    run_id: UUID
    """Django's run, as in `metadata.mandate_run`."""

    thread_id: str = Field(min_length=1, max_length=200)
    epoch: int = Field(ge=1)
    """The worker's fencing epoch; Django refuses one that is older than the latest."""


class Used(base.Answer):
    """What the earlier segments of a run used of its limits."""

    models: list[ModelUsage] = []
    seconds: float = Field(default=0, ge=0)
    """Of work, without the time in a queue or with a person."""


class GrantedModel(base.Answer):
    """A model that a run may ask, as Django's catalogue has it."""

    name: str
    """As a run names it."""

    provider: str
    base_url: str | None = None
    """Where it is asked instead of at its provider, if the agent service allows the address."""

    use_responses_api: bool = False
    """Of OpenAI's two formats the newer one is spoken."""

    fallback: str | None = None
    """Another of the granted models, for what this one cannot do."""


class Session(base.Answer):
    """A worker's right to call one run's tools."""

    session_id: UUID
    run_token: str = Field(repr=False)
    """Prefix `djr_`; held in memory only."""

    expires_at: datetime
    agent: str
    """The agent's slug."""

    acting_for: str
    """The name of the user the run was started by."""

    tools: list[ToolSpec]
    limits: Limits
    used: Used = Used()
    prices: dict[str, Price] = {}
    """By model name; given where the run has a limit of money."""

    models: list[GrantedModel] | None = None
    """What the run may ask; any model of the agent service's, where Django keeps no catalogue."""


class ToolList(base.Answer):
    """`GET /agent-api/tools/`: what the run token may call."""

    tools: list[ToolSpec]


class ToolCallRequest(base.Request):
    """`POST /agent-api/tools/{name}/calls/`."""

    arguments: dict[str, JsonValue]
    tool_call_id: str | None = Field(default=None, max_length=200)
    """The model's id of the call, for people who read the ledger."""


class ToolCallStatus(StrEnum):
    """How a tool call was answered."""

    SUCCEEDED = "succeeded"
    PENDING_APPROVAL = "pending_approval"
    DECLINED = "declined"
    """A person rejected it, or nobody decided in time: nothing was done, and the model is told."""


class ApprovalRequest(base.Answer):
    """What an interrupt shows: existing LangGraph interfaces make a card of it."""

    type: Literal["approval"] = "approval"
    approval_id: UUID
    tool: str
    arguments: dict[str, JsonValue]
    message: str
    tool_call_id: Annotated[str | None, Field(alias="toolCallId")] = None
    expires_at: Annotated[datetime, Field(alias="expiresAt")]
    response_schema: Annotated[JsonSchema, Field(alias="responseSchema")] = {}


class ToolCallAnswer(base.Answer):
    """200 when it is decided, 202 while a person has to decide."""

    status: ToolCallStatus
    tool_call: UUID | None = None
    """The ledger row; a read has none."""

    result: JsonValue = None
    """The tool's answer; for a declined call, nothing."""

    note: str | None = None
    """What the model should know beside the result: an earlier answer, a cut result, a person's comment."""

    truncated: bool = False
    """`result` is the first part of the result's JSON, as a text."""

    result_id: UUID | None = None
    """The whole of a cut result, at `GET /agent-api/tools/results/{result_id}/`; that of a read is not kept."""

    approval: ApprovalRequest | None = None


class ToolResult(RootModel[JsonValue]):
    """`GET /agent-api/tools/results/{result_id}/`: a result that was too large for its answer."""
