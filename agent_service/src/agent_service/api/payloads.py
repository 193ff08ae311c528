"""Bodies of requests. LangGraph's clients send more than is used here, so unknown fields are tolerated."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent_service.engine import run

Metadata = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=2**31 - 1)]


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


class ThreadCreate(Payload):
    """`POST /threads`."""

    thread_id: UUID | None = None
    metadata: Metadata | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"


class ThreadPatch(Payload):
    """`PATCH /threads/{thread_id}`."""

    metadata: Metadata | None = None


class ThreadSearch(Payload):
    """`POST /threads/search`."""

    metadata: Metadata | None = None
    status: run.ThreadStatus | None = None
    limit: Limit = 10
    offset: Offset = 0


class AssistantSearch(Payload):
    """`POST /assistants/search` and `/assistants/count`."""

    graph_id: str | None = None
    name: str | None = None
    metadata: Metadata | None = None
    limit: Limit = 10
    offset: Offset = 0


class StateRead(Payload):
    """`POST /threads/{thread_id}/state/checkpoint`."""

    checkpoint: Checkpoint
    subgraphs: bool = False


class HistoryRead(Payload):
    """`POST /threads/{thread_id}/history`."""

    limit: Limit = 10
    before: Annotated[str, Field(max_length=200)] | Checkpoint | None = None
    metadata: Metadata | None = None
    checkpoint: Checkpoint | None = None
