"""Bodies of requests. LangGraph's clients send more than is used here, so unknown fields are tolerated."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
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
    webhook: str | None = Field(default=None, max_length=2000)
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = Field(default=None, max_length=200)
    multitask_strategy: run.MultitaskStrategy = run.MultitaskStrategy.ENQUEUE
    if_not_exists: Literal["create", "reject"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] | None = None
    after_seconds: float = Field(default=0, ge=0, le=timedelta(days=366).total_seconds())
    durability: Literal["sync", "async", "exit"] | None = None
    strict_resume: bool = False

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
