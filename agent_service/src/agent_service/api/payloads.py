"""Bodies of requests. LangGraph's clients send more than is used here, so unknown fields are tolerated."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from langgraph import types
from langgraph.types import StateUpdate
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent_service.api import extracting
from agent_service.engine import assistants, repository, run

Metadata = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1)]
SortOrder = Literal["asc", "desc"]
ThreadField = Literal[
    "thread_id", "created_at", "updated_at", "metadata", "config", "context", "status", "values", "interrupts"
]
AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]
_STATE_FIELDS = "values|next|tasks|checkpoint|metadata|created_at|parent_checkpoint|interrupts"
StateField = Annotated[
    str,
    Field(
        max_length=200,
        pattern=rf"^({_STATE_FIELDS}|values\..+)$",
        description="A field of a state, or `values.<key>` for one key of its values.",
    ),
]


class StreamMode(StrEnum):
    """What a run's stream shows."""

    VALUES = "values"
    UPDATES = "updates"
    MESSAGES = "messages"
    MESSAGES_TUPLE = "messages-tuple"
    CUSTOM = "custom"
    EVENTS = "events"
    DEBUG = "debug"
    TASKS = "tasks"
    CHECKPOINTS = "checkpoints"
    TOOLS = "tools"
    LIFECYCLE = "lifecycle"


class Payload(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        # JavaScript clients send null for what they were not given.
        return (
            {key: value for key, value in data.items() if value is not None}
            if isinstance(data, dict)
            else data
        )


class Command(Payload):
    """How an interrupted thread goes on."""

    resume: Any = None
    update: Any = None
    goto: Any = None


class Checkpoint(Payload):
    """Where in a thread's history something happens."""

    checkpoint_id: str | None = Field(default=None, max_length=200)
    checkpoint_ns: str = Field(default="", max_length=2000)
    checkpoint_map: dict[str, Any] | None = None


class RunCreate(Payload):
    """A run of a graph."""

    assistant_id: str = Field(min_length=1, max_length=200)
    """An assistant's id, or the name of a graph."""

    input: Any = None
    command: Command | None = None
    """Wins over `input` when both are sent."""

    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    stream_mode: StreamMode | list[StreamMode] = Field(default=StreamMode.VALUES)
    stream_subgraphs: bool = False
    stream_resumable: bool = True
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    feedback_keys: list[str] | None = None
    """Kept with the run. There is no LangSmith here that could collect feedback."""

    webhook: str | None = Field(default=None, max_length=2000)
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = Field(default=None, max_length=200)
    multitask_strategy: run.MultitaskStrategy = run.MultitaskStrategy.ENQUEUE
    if_not_exists: Literal["create", "reject"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: run.OnCompletion = run.OnCompletion.KEEP
    """What becomes of the thread that is made for a run without one."""

    after_seconds: float = Field(default=0, ge=0, le=timedelta(days=366).total_seconds())
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None
    """The older word for `durability`: `async`, or `exit`."""

    strict_resume: bool = False

    @property
    def how_durable(self) -> str | None:
        if self.durability is not None or self.checkpoint_during is None:
            return self.durability
        return "async" if self.checkpoint_during else "exit"

    @property
    def stream_modes(self) -> tuple[str, ...]:
        modes = self.stream_mode if isinstance(self.stream_mode, list) else [self.stream_mode]
        return tuple(dict.fromkeys(mode.value for mode in modes)) or (StreamMode.VALUES.value,)

    @property
    def fork(self) -> run.JsonObject | None:
        """Return the checkpoint to start from, in whichever field it was named."""
        if self.checkpoint is not None and self.checkpoint.checkpoint_id is not None:
            return self.checkpoint.model_dump(exclude_none=True)
        return (
            None if self.checkpoint_id is None else {"checkpoint_id": self.checkpoint_id, "checkpoint_ns": ""}
        )


class RunsCancel(Payload):
    """`POST /runs/cancel`: runs of a thread by their ids, or all in a status, of one thread or of all."""

    thread_id: UUID | None = None
    run_ids: list[UUID] | None = Field(default=None, max_length=1000)
    status: Literal["pending", "running", "all"] | None = None

    @model_validator(mode="after")
    def _names_runs(self) -> Self:
        if (self.run_ids is None) == (self.status is None):
            raise ValueError("Name either 'run_ids' with their 'thread_id', or a 'status'.")
        if self.run_ids is not None and self.thread_id is None:
            raise ValueError("'run_ids' are of one thread: name its 'thread_id'.")
        return self

    @property
    def statuses(self) -> frozenset[run.RunStatus]:
        return run.ACTIVE if self.status == "all" else frozenset({run.RunStatus(self.status or "pending")})


class Expiry(Payload):
    """When a thread goes by itself."""

    ttl: float = Field(gt=0, le=timedelta(days=36525).total_seconds() / 60)
    """Minutes, from this request on."""

    strategy: run.ExpiryStrategy = run.ExpiryStrategy.DELETE

    @property
    def kept(self) -> run.Expiry:
        return run.Expiry(ttl=timedelta(minutes=self.ttl), strategy=self.strategy)


class Update(Payload):
    """A change of a state as if a node had made it."""

    values: dict[str, Any] | list[dict[str, Any]] | None = None
    command: Command | None = None
    """Wins over `values` when both are sent."""

    as_node: str | None = Field(default=None, max_length=200)

    @property
    def asked(self) -> StateUpdate:
        if self.command is None:
            return StateUpdate(cast("Any", self.values), self.as_node)
        # What a node may return, an update may be: a command, or a list of changes.
        given = types.Command(**self.command.model_dump(exclude_unset=True))
        return StateUpdate(cast("Any", given), self.as_node)


class Superstep(Payload):
    """Updates that happen at once."""

    updates: list[Update] = Field(min_length=1, max_length=100)


class ThreadCreate(Payload):
    """`POST /threads`."""

    thread_id: UUID | None = None
    metadata: Metadata | None = None
    graph_id: str | None = Field(default=None, max_length=200)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: Expiry | None = None
    supersteps: list[Superstep] | None = Field(default=None, max_length=1000)
    """What its state is made of."""

    @field_validator("ttl", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> Any:
        return _as_expiry(value)


class ThreadPatch(Payload):
    """`PATCH /threads/{thread_id}`."""

    metadata: Metadata | None = None
    ttl: Expiry | None = None

    @field_validator("ttl", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> Any:
        return _as_expiry(value)


class ThreadCount(Payload):
    """`POST /threads/count`."""

    metadata: Metadata | None = None
    values: dict[str, Any] | None = None
    ids: list[UUID] | None = Field(default=None, max_length=1000)
    status: run.ThreadStatus | None = None

    def wanted(self, owner: str) -> repository.ThreadFilter:
        return repository.ThreadFilter(
            owner=owner,
            metadata=self.metadata or {},
            values=self.values or None,
            ids=self.ids,
            status=self.status,
        )


class ThreadSearch(ThreadCount):
    """`POST /threads/search`."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: repository.ThreadSortBy = repository.ThreadSortBy.UPDATED_AT
    sort_order: SortOrder = "desc"
    select: list[ThreadField] | None = None
    extract: dict[str, extracting.Path] | None = Field(default=None, max_length=10)
    """Parts of each thread by a name of the caller's own."""


class ThreadsPrune(Payload):
    """`POST /threads/prune`."""

    thread_ids: list[UUID] = Field(max_length=1000)
    strategy: run.ExpiryStrategy = run.ExpiryStrategy.DELETE


class AssistantCreate(Payload):
    """`POST /assistants`."""

    graph_id: str = Field(max_length=200)
    assistant_id: UUID | None = None
    name: str = Field(default="Untitled", max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    config: dict[str, Any] = {}
    context: dict[str, Any] = {}
    metadata: Metadata = {}
    if_exists: Literal["raise", "do_nothing"] = "raise"


class AssistantPatch(Payload):
    """`PATCH /assistants/{assistant_id}`. What is not given stays; metadata is merged."""

    graph_id: str | None = Field(default=None, max_length=200)
    name: str | None = Field(default=None, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata = {}


STORED = set(AssistantPatch.model_fields)
"""What a version of an assistant keeps."""


class AssistantSearch(Payload):
    """`POST /assistants/search` and `/assistants/count`."""

    graph_id: str | None = None
    name: str | None = None
    metadata: Metadata | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: assistants.SortBy = assistants.SortBy.CREATED_AT
    sort_order: SortOrder = "desc"
    select: list[AssistantField] | None = None

    @property
    def wanted(self) -> assistants.Wanted:
        return assistants.Wanted(
            graph_id=self.graph_id,
            name=self.name,
            metadata=self.metadata or {},
            sort_by=self.sort_by,
            ascending=self.sort_order == "asc",
            limit=self.limit,
            offset=self.offset,
        )


class VersionSearch(Payload):
    """`POST /assistants/{assistant_id}/versions`."""

    metadata: Metadata | None = None
    limit: Limit = 10
    offset: Offset = 0


class VersionChoice(Payload):
    """`POST /assistants/{assistant_id}/latest`."""

    version: int = Field(ge=1, le=2**31 - 1)


class StateUpdateRequest(Update):
    """`POST /threads/{thread_id}/state`."""

    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = Field(default=None, max_length=200)

    @property
    def place(self) -> run.JsonObject:
        """Return where it happens, in whichever field it was named."""
        if self.checkpoint is not None:
            return self.checkpoint.model_dump(exclude_none=True)
        return {} if self.checkpoint_id is None else {"checkpoint_id": self.checkpoint_id}


class StateRead(Payload):
    """`POST /threads/{thread_id}/state/checkpoint`."""

    checkpoint: Checkpoint
    subgraphs: bool = False
    select: list[StateField] | None = None


class HistoryRead(Payload):
    """`POST /threads/{thread_id}/history`."""

    limit: Limit = 10
    before: Annotated[str, Field(max_length=200)] | Checkpoint | None = None
    metadata: Metadata | None = None
    checkpoint: Checkpoint | None = None
    select: list[StateField] | None = None


def _as_expiry(value: Any) -> Any:
    # Clients may send the minutes alone.
    return {"ttl": value} if isinstance(value, int | float) and not isinstance(value, bool) else value
