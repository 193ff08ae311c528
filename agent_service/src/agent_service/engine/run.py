"""A run and its thread, and which moves between their states are legal."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from agent_service import exceptions
from shared_schemas.problems import Failure
from shared_schemas.usage import ModelUsage

JsonObject = dict[str, Any]


class RunStatus(StrEnum):
    """Where a run is in its life, in the words of the LangGraph Server API."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    """It ended; a run that parked at an interrupt ended too, and its thread is `interrupted`."""

    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    """It was cancelled."""


class ThreadStatus(StrEnum):
    """What a thread waits for."""

    IDLE = "idle"
    BUSY = "busy"
    """A run of it is pending or running."""

    INTERRUPTED = "interrupted"
    """The graph stands before an answer or a next step."""

    ERROR = "error"


class MultitaskStrategy(StrEnum):
    """What a new run does about the unfinished runs of its thread."""

    REJECT = "reject"
    ENQUEUE = "enqueue"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class CancelAction(StrEnum):
    """What is left of a cancelled run."""

    INTERRUPT = "interrupt"
    """The run and the state it reached."""

    ROLLBACK = "rollback"
    """Nothing."""


class OnCompletion(StrEnum):
    """What becomes of a thread that was made for one run."""

    DELETE = "delete"
    KEEP = "keep"


ACTIVE = frozenset({RunStatus.PENDING, RunStatus.RUNNING})
TERMINAL = frozenset(RunStatus) - ACTIVE

LEGAL: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.INTERRUPTED}),
    RunStatus.RUNNING: frozenset({RunStatus.PENDING}) | TERMINAL,
}
"""A terminal status has no entry: nothing leaves it."""


def check_move(run_id: UUID, status: RunStatus, target: RunStatus) -> None:
    """Refuse a move that is not legal.

    Raises:
        IllegalTransition: as it says.
    """
    if target not in LEGAL.get(status, frozenset()):
        raise exceptions.IllegalTransition(str(run_id), status, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the creating request asked the graph to do; kept whole with the run."""

    input: Any = None
    command: JsonObject | None = None
    """`resume`, `update`, `goto`; wins over `input`."""

    config: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    checkpoint: JsonObject | None = None
    """Where to fork from: `checkpoint_id`, and `checkpoint_ns` of a subgraph."""

    stream_modes: tuple[str, ...] = ("values",)
    stream_subgraphs: bool = False
    interrupt_before: str | tuple[str, ...] | None = None
    interrupt_after: str | tuple[str, ...] | None = None
    durability: str | None = None
    strict_resume: bool = False
    feedback_keys: tuple[str, ...] = ()
    on_completion: str | None = None
    """`delete`: the thread was made for this run, and goes when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A creating request's key, and the digest of its body: the same key never means two things."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run to be created."""

    thread_id: UUID
    assistant_id: UUID
    graph_id: str
    owner: str
    """The subject that the creating token acts for; nobody else sees the run."""

    by_person: bool = False
    """The token is a person's own, and may only read the threads of mandates."""

    payload: Payload
    metadata: JsonObject = field(default_factory=dict)
    create_thread: bool = False
    """`if_not_exists: create`."""

    multitask_strategy: MultitaskStrategy = MultitaskStrategy.ENQUEUE
    priority: int = 0
    after: timedelta = timedelta(0)
    """How long it waits for its time; until then it is not in its thread's way."""

    webhook_url: str | None = None
    idempotency: IdempotencyKey | None = None
    run_id: UUID = field(default_factory=uuid4)

    @property
    def scheduled(self) -> bool:
        return self.after > timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its row says."""

    run_id: UUID
    thread_id: UUID
    assistant_id: UUID
    graph_id: str
    owner: str
    status: RunStatus
    payload: Payload
    metadata: JsonObject
    multitask_strategy: MultitaskStrategy
    priority: int
    lane: str
    ordinal: int
    """The order of a thread's runs."""

    not_before: datetime
    scheduled: bool
    """It waits for its time, beside the order of its thread's runs."""

    attempt: int
    epoch: int | None
    """Of the last worker that claimed it; every write of a worker names its epoch."""

    error: Failure | None
    usage: list[ModelUsage]
    prompt_version: str | None
    """Of the prompts it was worked on with last."""

    webhook_url: str | None
    cancel_action: CancelAction | None
    """Somebody asked to cancel it."""

    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def goes_on(self) -> bool:
        """Tell whether it continues from where its thread stands, instead of beginning with an input."""
        return self.payload.input is None

    @property
    def takes_its_thread(self) -> bool:
        """Tell whether its thread goes when it ends."""
        return self.payload.on_completion == OnCompletion.DELETE and self.mandate_run is None

    @property
    def mandate_run(self) -> UUID | None:
        """Return Django's run, if this one has a mandate."""
        named = self.metadata.get("mandate_run")
        return None if named is None else UUID(named)


class JobKey(NamedTuple):
    """A job of the queue in one worker's hands."""

    job_id: int
    manager_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on a run."""

    run: Run
    epoch: int
    resumed: bool
    """Another claim came before: what the run put into its thread's state may be there already."""

    last_seq: int
    """Of the events that were written before."""

    worked: timedelta
    """By those who had it before; what it waited in between does not count."""

    found: ThreadStatus
    """How the run before left the thread."""

    is_blank: bool
    """The thread has no checkpoint yet."""

    job: JobKey | None = None
    """By which the run came, if it is to go with the run's end."""


class ExpiryStrategy(StrEnum):
    """What becomes of a thread when its time is over."""

    DELETE = "delete"
    KEEP_LATEST = "keep_latest"
    """Its history goes, its state stays; and its time begins again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """How long a thread lives, counted from the request that says so."""

    ttl: timedelta
    strategy: ExpiryStrategy
    expires_at: datetime | None = None
    """As the thread's row has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewThread:
    """A thread to be created."""

    thread_id: UUID
    owner: str
    metadata: JsonObject
    expiry: Expiry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread as its row says; its state itself lives in checkpoints."""

    thread_id: UUID
    owner: str
    status: ThreadStatus
    metadata: JsonObject
    values: Any
    """The state as the last run left it, as JSON."""

    interrupts: dict[str, list[JsonObject]]
    """Pending interrupts by task: `{task_id: [{"id": ..., "value": ...}]}`."""

    expiry: Expiry | None
    resting: ThreadStatus
    """How its last run left it, while another one makes it busy."""

    mandated: bool
    """A run of it had a mandate: a person's own token only reads it."""

    created_at: datetime
    updated_at: datetime

    @property
    def at_rest(self) -> ThreadStatus:
        """Return how it stands, its unfinished runs aside."""
        return self.resting if self.status is ThreadStatus.BUSY else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, and how that leaves its thread."""

    status: RunStatus
    thread_status: ThreadStatus
    values: Any = None
    """The thread's new state, as JSON; `None` leaves the one before."""

    interrupts: dict[str, list[JsonObject]] | None = None
    """`None` leaves those before."""

    error: Failure | None = None
    usage: list[ModelUsage] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left, whatever later runs made of its thread."""

    values: Any
    interrupts: dict[str, list[JsonObject]]
    error: Failure | None


def now() -> datetime:
    return datetime.now(UTC)
