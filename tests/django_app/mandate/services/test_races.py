"""The ledger's laws with several connections at once; those of many trials are in `tests/chaos/races.py`."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from pydantic import BaseModel

from mandate import models, testing, tools
from mandate.services import approvals, runs, sessions, tool_calls
from mandate.tokens import hash_run_token
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision
from shared_schemas.tools import SessionCreate, ToolCallRequest

pytestmark = pytest.mark.django_db(transaction=True)

TRIALS = 8


class Ask(tools.Schema):
    text: str = ""


class Text(BaseModel):
    text: str


def test_a_key_that_is_still_at_work_is_told_so(settings, start_run, declare, at_once):
    settings.MANDATE = settings.MANDATE | {"LOCK_TIMEOUT": timedelta(milliseconds=100)}
    inside, may_go = threading.Event(), threading.Event()

    def work(_context: tools.Context, _call: Ask) -> Text:
        """Work until told to stop."""
        inside.set()
        assert may_go.wait(timeout=60)
        return Text(text=Group.objects.create(name="red").name)

    tool = declare(work)
    call = _call(testing.token_of(start_run(tool)), tool, {})

    def ask_meanwhile():
        assert inside.wait(timeout=60)
        try:
            return call()
        finally:
            may_go.set()

    first, second = at_once(call, ask_meanwhile)

    assert (first.answer.result, second) == ({"text": "red"}, ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS)
    assert call().is_replay
    assert Group.objects.count() == 1


def test_a_model_that_asks_twice_at_once_has_one_effect(at_once, start_run, add_tool):
    run = start_run(add_tool)
    token = testing.token_of(run)
    calls = [_call(token, add_tool, {"name": "red"}) for _ in range(2)]

    outcomes = at_once(*calls)

    assert Group.objects.count() == 1
    assert len({outcome.answer.tool_call for outcome in outcomes}) == 1


def test_a_model_that_repeats_itself_all_at_once_is_counted_as_one_after_the_other(
    at_once, start_run, add_tool
):
    token = testing.token_of(start_run(add_tool))
    calls = [_call(token, add_tool, {"name": "red"}, tool_call_id=f"call_{n}") for n in range(TRIALS)]

    outcomes = at_once(*calls)

    assert Group.objects.count() == 1
    assert outcomes.count(ErrorCode.REPEATED_CALL) == 2
    assert outcomes.count(ErrorCode.LOOP_DETECTED) == TRIALS - 5
    assert models.ToolCall.objects.values("key", "tool_call_id").distinct().count() == TRIALS


def test_parallel_calls_do_not_overspend(at_once, start_run, add_tool):
    run = start_run(add_tool, writes=3)
    token = testing.token_of(run)

    outcomes = at_once(*[_call(token, add_tool, {"name": f"group {number}"}) for number in range(TRIALS)])

    assert outcomes.count(ErrorCode.LIMIT_SPENT) == TRIALS - 3
    assert Group.objects.count() == models.CallCount.objects.get().writes == 3


@pytest.mark.parametrize("trial", range(TRIALS))
def test_after_a_takeover_the_older_worker_commits_nothing(at_once, start_run, add_tool, trial):
    run = start_run(add_tool)
    call = _call(testing.token_of(run), add_tool, {"name": "red"})

    def take_over():
        sessions.open_or_renew(SessionCreate(run_id=run.pk, thread_id=str(run.thread_id), epoch=2))
        return Group.objects.count()

    outcome, effects_at_return = at_once(call, take_over)

    assert Group.objects.count() == effects_at_return
    assert (outcome == ErrorCode.STALE_WORKER) == (effects_at_return == 0)


@pytest.fixture
def approval(start_run, approved_tool):
    testing.call_tool(approved_tool, {"name": "red"}, run=start_run(approved_tool))
    return models.Approval.objects.get()


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_cancel_and_an_approval_agree(at_once, approval, make_user, trial):
    person = make_user(is_superuser=True)

    outcome, _ = at_once(
        _decide(approval, Decision(decision="approve"), person), lambda: runs.cancel(approval.run_id)
    )

    approval.refresh_from_db()
    assert (approval.status, Group.objects.count()) in {("approved", 1), ("cancelled", 0)}
    assert (approval.status == "approved") == (getattr(outcome, "status", None) == "approved")


def test_an_expiry_and_an_approval_agree(at_once, approval, make_user):
    person = make_user(is_superuser=True)

    at_once(
        _decide(approval, Decision(decision="approve"), person),
        lambda: approvals.expire(now=approval.expires_at),
    )

    approval.refresh_from_db()
    assert (approval.status, Group.objects.count()) in {("approved", 1), ("expired", 0)}


def _call(token, name, arguments, **fields):
    call = tool_calls.Call(
        token_hash=hash_run_token(token),
        tool=name,
        key=testing.new_key(),
        request=ToolCallRequest(arguments=arguments, **fields),
    )
    return lambda: tool_calls.answer(call)


def _decide(approval, decision, person):
    return lambda: approvals.decide(approval.pk, decision, by=person)
