"""Races inside Django: real connections that start at one barrier. A trial adds what it saw to a verdict."""

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import override_settings
from pydantic import BaseModel

from mandate import agent_client, exceptions, models, testing, tools
from mandate.services import approvals, outcomes, runs, tool_calls
from mandate.tokens import hash_run_token
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import ToolCallRequest
from tests.chaos import oracle

MOST = 10
"""Connections that any race needs."""

Task = Callable[[], Any]

APPROVE, REJECT = Decision(decision="approve"), Decision(decision="reject")

_inside: dict[str, threading.Event] = {}
"""Set when the tool that leaves a trace of this name has begun."""


HANDICAP = 0.06
"""Seconds, at most, that the quicker side of a race begins later."""

PATIENCE = 60
"""Seconds that one waits for another on a busy machine."""


class Trace(tools.Schema):
    name: str


class Left(BaseModel):
    name: str


def leave(context: tools.Context, call: Trace) -> Left:
    """Leave a trace."""
    if begun := _inside.get(call.name):
        begun.set()
    # A group's name is unique; two traces of one name must be possible to be seen.
    Group.objects.create(name=f"{call.name}:{uuid.uuid4().hex}")
    return Left(name=call.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Threads with a connection each, and what every trial uses."""

    pool: ThreadPoolExecutor
    agent: models.Agent
    people: tuple[User, User]
    dice: random.Random

    def at_once(self, *tasks: Task) -> list[Any]:
        """Do all of it at the same moment; return values, or the codes of refusals."""
        barrier = threading.Barrier(len(tasks))

        def run(task: Task) -> Any:
            barrier.wait(timeout=PATIENCE)
            try:
                return task()
            except exceptions.MandateError as error:
                return error.code

        return [
            future.result(timeout=2 * PATIENCE) for future in [self.pool.submit(run, task) for task in tasks]
        ]

    def start(self) -> models.Run:
        return testing.start_run(self.agent, by=self.people[0])


@contextlib.contextmanager
def ring(seed: int) -> Iterator[Ring]:
    """Declare the tools of the races, and open their threads."""
    # Whoever waits for another's transaction is told what came of it, however long that takes.
    patient = override_settings(MANDATE=settings.MANDATE | {"LOCK_TIMEOUT": timedelta(seconds=PATIENCE)})
    with patient, testing.temporary_tools(), ThreadPoolExecutor(MOST) as pool:
        tools.tool(scope="traces:write", effect=tools.Effect.WRITE)(leave)
        rule = tools.ApprovalRule(permission="auth.add_group")
        asking = {"name": "leave_if_approved", "approval": rule, "repeat": tools.Repeat.ALLOW}
        tools.tool(scope="traces:write", effect=tools.Effect.WRITE, **asking)(leave)
        agent = testing.make_agent("leave", "leave_if_approved")
        people = [User.objects.create_superuser(f"judge-{uuid.uuid4().hex[:12]}") for _ in range(2)]
        made = Ring(pool=pool, agent=agent, people=(people[0], people[1]), dice=random.Random(seed))
        try:
            yield made
        finally:
            made.at_once(*[_hang_up] * MOST)


def cancel_against_a_running_write(inside: Ring, verdict: oracle.Verdict) -> None:
    """Cancel while a write begins, or has begun: what the cancel's answer finds is all there will ever be."""
    run, name = inside.start(), _name()

    def cancel() -> int:
        runs.cancel(run.pk)
        return _traces(name)

    has_begun = inside.dice.random() < 0.5
    with _watched(name) as begun:
        cancelling = _after(begun, cancel) if has_begun else cancel
        outcome, found = inside.at_once(_call(run, "leave", name), cancelling)

    traces = _traces(name)
    done = isinstance(outcome, tool_calls.Outcome)
    verdict.effects += traces
    verdict.after_cancel += traces - found
    verdict.duplicated += max(traces - 1, 0)
    verdict.lost += done and not traces
    verdict.stuck += not (done or outcome == ErrorCode.RUN_NOT_ACTIVE)


def approve_against_reject(inside: Ring, verdict: oracle.Verdict) -> None:
    """Let two people decide differently: one of them does, and the call follows that one."""
    run, name = inside.start(), _name()
    approval = _ask(run, name)
    first, second = inside.people

    # A rejection has less to do, and would nearly always be first without a handicap; a slow machine wants more.
    handicap = inside.dice.uniform(0, HANDICAP)
    has_begun = inside.dice.random() < 0.5
    reject = _decide(approval, REJECT, second)
    with _watched(name) as begun:
        rejecting = _after(begun, reject) if has_begun else _delayed(handicap, reject)
        answers = inside.at_once(_decide(approval, APPROVE, first), rejecting)

    approval.refresh_from_db()
    _judge_decision(verdict, approval, name)
    verdict.stuck += answers.count(ErrorCode.ALREADY_DECIDED) != 1


def the_same_decision_ten_times(inside: Ring, verdict: oracle.Verdict) -> None:
    """Let one person click ten times: one effect, and ten times the same answer."""
    run, name = inside.start(), _name()
    approval = _ask(run, name)

    answers = inside.at_once(*[_decide(approval, APPROVE, inside.people[0])] * 10)

    approval.refresh_from_db()
    _judge_decision(verdict, approval, name)
    verdict.lost += approval.status != "approved"
    verdict.stuck += {getattr(answer, "status", answer) for answer in answers} != {"approved"}


def the_first_approval_again_while_a_second_waits(inside: Ring, verdict: oracle.Verdict) -> None:
    """Repeat the first of two decisions, at once and later: the second question stays open."""
    run, names = inside.start(), (_name(), _name())
    first, second = (_ask(run, name) for name in names)
    outcomes.apply(run.pk, _parked(first, second))
    again = _decide(first, APPROVE, inside.people[0])

    inside.at_once(again, again, again)
    inside.at_once(again)

    for approval, name in zip((first, second), names, strict=True):
        approval.refresh_from_db()
        _judge_decision(verdict, approval, name)
    run.refresh_from_db()
    resumes = [message.payload.get("resume") for message in run.outbox_messages.filter(topic=runs.RESUME)]
    verdict.lost += first.status != "approved"
    verdict.unapproved += second.status != "pending"
    verdict.duplicated += max(len(resumes) - 1, 0)
    verdict.stuck += (run.status, resumes) != (RunStatus.PENDING, [{"interrupt-0": "decided"}])


def the_same_key_from_two_connections(inside: Ring, verdict: oracle.Verdict) -> None:
    """Send one call twice: one effect, and the same answer for both."""
    run, name = inside.start(), _name()
    call = _call(run, "leave", name)

    answers = inside.at_once(call, call)

    traces = _traces(name)
    verdict.effects += traces
    verdict.lost += not traces
    verdict.duplicated += max(traces - 1, 0)
    told = [answer for answer in answers if isinstance(answer, tool_calls.Outcome)]
    same = len(told) == len(answers) and told[0].answer == told[1].answer
    verdict.stuck += not same or sorted(answer.is_replay for answer in told) != [False, True]


RACES: tuple[Callable[[Ring, oracle.Verdict], None], ...] = (
    cancel_against_a_running_write,
    approve_against_reject,
    the_same_decision_ten_times,
    the_first_approval_again_while_a_second_waits,
    the_same_key_from_two_connections,
)


def hold(race: Callable[[Ring, oracle.Verdict], None], *, trials: int, seed: int) -> oracle.Verdict:
    """Run a race so often, and return what was seen."""
    verdict = oracle.Verdict(scenario=f"race: {race.__name__.replace('_', ' ')}", seed=seed, runs=trials)
    began = time.monotonic()
    with ring(seed) as inside:
        for _ in range(trials):
            race(inside, verdict)
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def _judge_decision(verdict: oracle.Verdict, approval: models.Approval, name: str) -> None:
    traces = _traces(name)
    approved = approval.status == "approved"
    verdict.effects += traces
    verdict.duplicated += max(traces - 1, 0)
    verdict.lost += approved and not traces
    verdict.unapproved += traces > 0 and not approved


def _call(run: models.Run, tool: str, name: str) -> Callable[[], tool_calls.Outcome]:
    call = tool_calls.Call(
        token_hash=hash_run_token(testing.token_of(run)),
        tool=tool,
        key=testing.new_key(),
        request=ToolCallRequest(arguments={"name": name}),
    )
    return lambda: tool_calls.answer(call)


def _ask(run: models.Run, name: str) -> models.Approval:
    answer = _call(run, "leave_if_approved", name)().answer
    return models.Approval.objects.get(tool_call_id=answer.tool_call)


@contextlib.contextmanager
def _watched(name: str) -> Iterator[threading.Event]:
    """Yield what is set when the tool begins to leave a trace of this name."""
    _inside[name] = threading.Event()
    try:
        yield _inside[name]
    finally:
        del _inside[name]


def _after(begun: threading.Event, task: Task) -> Task:
    def run() -> Any:
        assert begun.wait(PATIENCE)
        return task()

    return run


def _delayed(seconds: float, task: Task) -> Task:
    def run() -> Any:
        time.sleep(seconds)
        return task()

    return run


def _decide(approval: models.Approval, decision: Decision, by: User) -> Callable[[], models.Approval]:
    return lambda: approvals.decide(approval.pk, decision, by=by)


def _parked(*asked: models.Approval) -> agent_client.Outcome:
    return agent_client.Outcome(
        agent_run_id=uuid.uuid4(),
        segment=1,
        status="success",
        usage=[],
        parked=True,
        values={},
        interrupts={
            f"interrupt-{number}": {"approval_id": str(approval.pk)} for number, approval in enumerate(asked)
        },
    )


def _hang_up() -> None:
    # Of the thread that calls: `connection` is another one in each.
    connection.close()


def _name() -> str:
    return uuid.uuid4().hex


def _traces(name: str) -> int:
    return Group.objects.filter(name__startswith=f"{name}:").count()
