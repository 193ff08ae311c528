"""A small model of what is promised, and the steps by which the real thing is held against it.

The model knows a few sentences: which calls were kept, which had an effect, what people decided, and where each
run is. Every step is also done as by a process that dies before its commit, and as by one whose answer is
lost, so that it is done again.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel

from mandate import agent_client, exceptions, models, testing, tokens, tools
from mandate.services import approvals, outcomes, runs, sessions, tool_calls
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import Limits, SessionCreate, ToolCallAnswer, ToolCallRequest, ToolCallStatus

Fate = Literal["whole", "dies", "answer lost"]

NOT_HELD = {ErrorCode.RUN_NOT_ACTIVE, ErrorCode.STALE_WORKER, ErrorCode.UNAUTHENTICATED}
REPEATED = {ErrorCode.REPEATED_CALL, ErrorCode.LOOP_DETECTED}
NOT_THEIRS = {ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.ALREADY_DECIDED}
OPEN = {RunStatus.PENDING, RunStatus.RUNNING}


class Crash(BaseException):
    """The process is gone."""


class Note(tools.Schema):
    """A note."""

    text: str


class Noted(BaseModel):
    text: str


dying: set[str] = set()
"""Keys of calls whose process dies after the effect, before the commit."""


def note(context: tools.Context, call: Note) -> Noted:
    """Write a note."""
    Task.objects.create(
        module=Module.objects.get(), title=context.key, text=call.text, ai_user_id=context.agent_user.pk
    )
    if context.key in dying:
        raise Crash
    return Noted(text=call.text)


def declare() -> None:
    """Declare the tool twice: one that is done at once, one that a person decides about."""
    rule = tools.ApprovalRule(permission="practice.publish_task")
    tools.tool(scope="notes:write", effect=tools.Effect.WRITE)(note)
    tools.tool(scope="notes:write", effect=tools.Effect.WRITE, name="note_if_approved", approval=rule)(note)


@dataclass(slots=True, kw_only=True)
class Question:
    """What a person is asked."""

    id: uuid.UUID
    call: "Sent"
    status: str = "pending"
    decided: tuple[str, str | None] | None = None
    """The decision and the text it gave."""

    waited_for: bool = False
    """The parked thread is known to wait for it."""

    read: bool = False
    """A worker has heard how it was decided."""


@dataclass(slots=True, kw_only=True)
class Sent:
    """A call that a worker sent at least once."""

    key: str
    tool: str
    text: str
    repeats: bool = False
    """Another call for the same was kept before it."""

    kept: ToolCallAnswer | ErrorCode | None = None
    """What it is answered for ever; nothing while it was never answered or waits for a person."""

    question: Question | None = None


@dataclass(slots=True, kw_only=True)
class Expected:
    """What is true of a run."""

    id: uuid.UUID
    writes: int | None
    status: RunStatus = RunStatus.PENDING
    segment: int = 1
    epoch: int = 0
    token: str | None = None
    lost_tokens: list[str] = field(default_factory=list)
    sent: dict[str, Sent] = field(default_factory=dict)
    effects: dict[str, str] = field(default_factory=dict)
    """What each key wrote."""

    @property
    def questions(self) -> list[Question]:
        return [call.question for call in self.sent.values() if call.question]

    @property
    def unread(self) -> list[Question]:
        """What a graph that runs on would wait for."""
        return [question for question in self.questions if not question.read]

    @property
    def answered(self) -> list[Sent]:
        """The calls that the ledger has."""
        return [call for call in self.sent.values() if call.kept is not None or call.question]

    @property
    def performed(self) -> int:
        """Calls that a limit counts."""
        return sum(not call.repeats for call in self.answered)

    def repeats(self, call: Sent) -> bool:
        """Tell whether a call asks for what another one was kept for; a declined one may be asked again."""
        return any(
            (other.tool, other.text) == (call.tool, call.text)
            and not other.repeats
            and (
                other.question.status in {"pending", "approved"} if other.question else other.kept is not None
            )
            for other in self.sent.values()
        )

    def drop_token(self) -> None:
        if self.token is not None:
            self.lost_tokens.append(self.token)
        self.token = None

    def end(self, status: RunStatus) -> None:
        self.status = status
        self.drop_token()
        if status in {RunStatus.COMPLETED, RunStatus.CANCELLED}:
            for question in self.questions:
                if question.status == "pending":
                    question.status = "cancelled"

    def go_on(self) -> None:
        """Leave for the next segment if what the thread waits for is decided."""
        heard = [one for one in self.questions if one.waited_for and one.status != "pending"]
        if self.status == RunStatus.AWAITING_APPROVAL and heard:
            self.status, self.segment = RunStatus.PENDING, self.segment + 1
            for question in heard:
                question.waited_for = False


def attempt(action: Callable[[], Any], fate: Fate = "whole") -> Any:
    """Do something, and return its value or the code it was refused with; nothing if its process died."""
    try:
        if fate == "dies":
            with transaction.atomic():
                action()
                raise Crash  # noqa: TRY301 - inside the transaction, as a process would
        first = action()
        return action() if fate == "answer lost" else first
    except Crash:
        return None
    except exceptions.MandateError as refusal:
        return None if fate == "dies" else refusal.code


def send(token: str, call: Sent, *, text: str | None = None) -> Callable[[], ToolCallAnswer]:
    """Return the request of a worker."""
    request = tool_calls.Call(
        token_hash=tokens.hash_run_token(token),
        tool=call.tool,
        key=call.key,
        request=ToolCallRequest(arguments={"text": text or call.text}),
    )
    return lambda: tool_calls.answer(request).answer


def take(run: Expected, epoch: int) -> Callable[[], sessions.Opened]:
    """Return the request of a worker that takes a run up."""
    request = SessionCreate(run_id=run.id, thread_id=str(run.id), epoch=epoch)
    return lambda: sessions.open_or_renew(request)


def news(
    run: Expected, status: str, waiting: list[Question] = (), *, segment: int | None = None
) -> Callable[[], None]:
    """Return the news of a segment's end."""
    failure = Failure(code=ErrorCode.MODEL_FAILED, message="No.") if status == "error" else None
    asked = {f"interrupt-{one.call.key}": {"approval_id": str(one.id)} for one in waiting}
    outcome = agent_client.Outcome(
        agent_run_id=uuid.uuid4(),
        segment=segment or run.segment,
        status=status,
        failure=failure,
        usage=[],
        parked=bool(asked),
        values={"result": "done"},
        interrupts=asked,
    )
    return lambda: outcomes.apply(run.id, outcome)


def check(run: Expected) -> None:
    """Hold the database against the model."""
    found = models.Run.objects.get(pk=run.id)
    rows = list(Task.objects.filter(title__in=run.sent).order_by("title").values_list("title", "text"))
    assert rows == sorted(run.effects.items()), "each effect once, and no other"
    assert (found.status, found.segment) == (run.status, run.segment)
    succeeded = found.tool_calls.filter(status="succeeded")
    assert {call.key for call in succeeded} == set(run.effects), "a succeeded row if and only if an effect"
    asked = dict(found.approvals.values_list("pk", "status"))
    assert asked == {question.id: question.status for question in run.questions}
    if run.status != RunStatus.RUNNING:
        assert not found.sessions.filter(revoked_at=None).exists(), "no token outlives its worker's turn"
    submission = models.OutboxMessage.objects.filter(key=f"{run.id}:{run.segment}", run=run.id)
    assert submission.count() == 1, "what was accepted is delivered"
    assert run.writes is None or run.performed <= run.writes


def later() -> int:
    """Let all questions run out."""
    return approvals.expire(now=timezone.now() + timedelta(days=400))


def start(agent: models.Agent, person: Any, writes: int | None) -> Callable[[], models.Run]:
    """Return a person's request for a run, which may be sent twice."""
    limits = None if writes is None else Limits(writes=writes)
    key = testing.new_key()
    return lambda: runs.start(agent=agent, input={}, by=person, limits=limits, idempotency_key=key)


def decide(question: Question, decision: str, text: str | None, person: Any) -> Callable[[], Any]:
    """Return a person's decision."""
    arguments = {"text": text} if decision == "edit" else None
    return lambda: approvals.decide(question.id, Decision(decision=decision, arguments=arguments), by=person)


def is_refused(found: Any, codes: set[ErrorCode]) -> bool:
    return isinstance(found, ErrorCode) and found in codes


def is_answer(found: Any) -> bool:
    return isinstance(found, ToolCallAnswer) and found.status is not ToolCallStatus.PENDING_APPROVAL
