"""Bodies of answers, in the fields of the LangGraph Server API."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from agent_service.engine import run
from shared_schemas.problems import Failure
from shared_schemas.usage import ModelUsage

Json = dict[str, Any]


class Answer(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Thread(Answer):
    """A thread, with the state that its last run left."""

    thread_id: UUID
    created_at: datetime
    updated_at: datetime
    metadata: Json
    status: run.ThreadStatus
    values: Any
    interrupts: dict[str, list[Json]]

    def only(self, names: Iterable[str], given: Json) -> Json:
        """Return some of its fields; `config` and `context` are those that its last run was `given`."""
        whole = {"config": {}, "context": {}} | given | self.model_dump(mode="json")
        return {name: whole[name] for name in names}


class Expiry(Answer):
    """When a thread goes by itself, and what is left of it."""

    strategy: run.ExpiryStrategy
    ttl_minutes: float
    expires_at: datetime

    @classmethod
    def of(cls, expiry: run.Expiry | None) -> Self | None:
        if expiry is None or expiry.expires_at is None:
            return None
        minutes = expiry.ttl.total_seconds() / 60
        return cls(strategy=expiry.strategy, ttl_minutes=minutes, expires_at=expiry.expires_at)


class ThreadWithExpiry(Thread):
    """A thread, and when it goes."""

    ttl: Expiry | None


class Pruned(Answer):
    """How many threads a request pruned."""

    pruned_count: int


class StateUpdated(Answer):
    """Where a thread stands after a change of its state."""

    checkpoint: "Checkpoint"


class RunField(StrEnum):
    """What of a run a list may be asked for."""

    RUN_ID = "run_id"
    THREAD_ID = "thread_id"
    ASSISTANT_ID = "assistant_id"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    STATUS = "status"
    METADATA = "metadata"
    KWARGS = "kwargs"
    MULTITASK_STRATEGY = "multitask_strategy"
    CANCEL_REASON = "cancel_reason"
    ERROR = "error"
    USAGE = "usage"
    PROMPT_VERSION = "prompt_version"


class Run(Answer):
    """A run."""

    run_id: UUID
    thread_id: UUID
    assistant_id: UUID
    created_at: datetime
    updated_at: datetime
    status: run.RunStatus
    metadata: Json
    payload: Json = Field(serialization_alias="kwargs")
    """What the creating request asked for."""

    multitask_strategy: run.MultitaskStrategy
    cancel_action: run.CancelAction | None = Field(default=None, serialization_alias="cancel_reason")
    """How somebody asked for its end."""

    error: Failure | None
    """Why it failed."""

    usage: list[ModelUsage]
    """What its model calls used, per model."""

    prompt_version: str | None = None
    """Of its graph's prompt templates, by content; nothing before it ended, or where they are in no folder."""

    def only(self, names: Iterable["RunField"]) -> Json:
        """Return some of its fields."""
        whole = self.model_dump(mode="json", by_alias=True)
        return {name.value: whole[name.value] for name in names if name.value in whole}

    @classmethod
    def of(cls, row: run.Run) -> Self:
        fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        return cls.model_validate(fields | {"payload": _without_nothing(dataclasses.asdict(row.payload))})


class Assistant(Answer):
    """A graph with what its runs are given."""

    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    version: int
    config: Json
    context: Json
    metadata: Json
    created_at: datetime
    updated_at: datetime

    def only(self, names: Iterable[str]) -> Json:
        """Return some of its fields."""
        return self.model_dump(mode="json", include=set(names))


class Schemas(Answer):
    """What a graph takes and gives, as JSON Schemas."""

    graph_id: str
    input_schema: Json | None
    output_schema: Json | None
    state_schema: Json | None
    config_schema: Json | None
    context_schema: Json | None


class Checkpoint(Answer):
    """A place in a thread's history."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None
    checkpoint_map: Json | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> Self | None:
        if not config:
            return None
        place = config["configurable"]
        return cls(
            thread_id=str(place["thread_id"]),
            checkpoint_ns=place.get("checkpoint_ns", ""),
            checkpoint_id=place.get("checkpoint_id"),
            checkpoint_map=place.get("checkpoint_map"),
        )


class Task(Answer):
    """A node that is to run next, or was stopped."""

    id: str
    name: str
    path: list[Any]
    error: str | None
    interrupts: list[Json]
    checkpoint: Json | None
    state: "ThreadState | None"
    result: Any


class ThreadState(Answer):
    """A thread's state at one checkpoint."""

    values: Any = {}
    next: list[str] = []
    tasks: list[Task] = []
    metadata: Json = {}
    created_at: str | None = None
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None = None
    interrupts: list[Json] = []
    checkpoint_id: str | None = None
    parent_checkpoint_id: str | None = None

    def only(self, names: Iterable[str]) -> Json:
        """Return some of its fields; `values.<key>` is one key of its values."""
        whole = self.model_dump(mode="json")
        chosen: Json = {}
        for name in names:
            field, _, key = name.partition(".")
            if not key:
                chosen[field] = whole[field]
            elif isinstance(whole[field], dict) and key in whole[field]:
                chosen.setdefault(field, {})[key] = whole[field][key]
        return chosen


class Info(Answer):
    """What this server is and can do."""

    version: str
    langgraph_py_version: str
    flags: dict[str, bool]


class Health(Answer):
    """The service answers, and so does its database."""

    ok: bool


def _without_nothing(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
