"""Every way that a tool call is answered, what is kept of it and what it did: the ledger's table, row by row."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError
from pydantic import BaseModel

from mandate import models, testing, tools
from mandate.services import approvals, runs


class Named(tools.Schema):
    name: str


class Done(BaseModel):
    name: str


FAULTS = {
    "forbidden": tools.ToolRejected("Not this one."),
    "broken": RuntimeError("It broke."),
    "away": OperationalError("The database went away."),
}


def keep(context: tools.Context, call: Named) -> Done:
    """Keep a group, or fail as its name says."""
    Group.objects.create(name=call.name)
    if call.name in FAULTS:
        raise FAULTS[call.name]
    return Done(name=call.name)


def drop(context: tools.Context, call: Named) -> Done:
    """Delete a group."""
    Group.objects.get(name=call.name).delete()
    return Done(name=call.name)


def look(context: tools.Context, call: Named) -> Done:
    """Look for a group."""
    return Done(name=Group.objects.get(name=call.name).name)


@pytest.fixture
def run(declare, start_run):
    rule = tools.ApprovalRule(permission="auth.add_group")
    names = [declare(keep), declare(drop), declare(keep, name="ask", approval=rule)]
    names.append(declare(look, effect=tools.Effect.READ))
    Group.objects.create(name="old")
    return start_run(*names, tool_calls=20)


def earlier(name="red", *, tool="keep", times=1, same_key=False):
    def call(run, key):
        for _ in range(times):
            testing.call_tool(tool, {"name": name}, run=run, key=key if same_key else None)

    return call


def expired_question(run, key):
    testing.call_tool("ask", {"name": "red"}, run=run, key=key)
    approvals.expire(now=models.Approval.objects.get().expires_at)


def two_refused_repeats(run, key):
    earlier(times=3)(run, key)
    for _ in range(2):
        with pytest.raises(Exception, match="repeated"):
            earlier()(run, key)


def spent_limit(run, key):
    models.Run.objects.update(limits={"tool_calls": 0})


@dataclass(frozen=True, kw_only=True)
class Case:
    answer: tuple[int, str]
    """Status, and the problem's code or the call's status."""

    before: Callable[[Any, str], Any] = lambda run, key: None
    tool: str = "keep"
    arguments: dict[str, Any] = field(default_factory=lambda: {"name": "red"})
    has_key: bool = True
    lifetime: timedelta = timedelta(minutes=15)
    headers: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    groups: tuple[str, ...] = ("old",)


REPLAYED = {"Idempotent-Replayed": "true"}
WITH_RED = ("old", "red")

CASES = {
    "key missing": Case(answer=(400, "idempotency_key_missing"), has_key=False),
    "arguments fail the schema": Case(answer=(422, "invalid_arguments"), arguments={"name": 1}),
    "business rule refuses": Case(answer=(422, "rejected"), arguments={"name": "forbidden"}),
    "same key, other payload": Case(
        answer=(422, "idempotency_key_reused"),
        before=earlier("blue", same_key=True),
        rows=1,
        groups=("blue", "old"),
    ),
    "same key, other tool": Case(
        answer=(422, "idempotency_key_reused"),
        before=earlier(same_key=True),
        tool="drop",
        rows=1,
        groups=WITH_RED,
    ),
    "token expired": Case(answer=(401, "token_expired"), lifetime=timedelta(seconds=-1)),
    "run cancelled": Case(answer=(403, "run_not_active"), before=lambda run, _: runs.cancel(run.pk)),
    "tool not granted": Case(
        answer=(403, "tool_not_granted"), before=lambda run, _: models.Run.objects.update(tools=["drop"])
    ),
    "tool switched off": Case(
        answer=(403, "tool_paused"), before=lambda run, _: models.ToolSwitch.objects.create(tool="keep")
    ),
    "agent paused": Case(
        answer=(403, "agent_paused"), before=lambda run, _: models.Agent.objects.update(is_paused=True)
    ),
    "budget spent": Case(answer=(403, "limit_spent"), before=spent_limit),
    "database away": Case(
        answer=(503, "unavailable"), arguments={"name": "away"}, headers={"Retry-After": "1"}
    ),
    "tool breaks": Case(answer=(500, "tool_failed"), arguments={"name": "broken"}),
    "success": Case(answer=(200, "succeeded"), rows=1, groups=WITH_RED),
    "success, again": Case(
        answer=(200, "succeeded"), before=earlier(same_key=True), headers=REPLAYED, rows=1, groups=WITH_RED
    ),
    "deletion": Case(answer=(200, "succeeded"), tool="drop", arguments={"name": "old"}, rows=1, groups=()),
    "deletion, again": Case(
        answer=(200, "succeeded"),
        before=earlier("old", tool="drop", same_key=True),
        tool="drop",
        arguments={"name": "old"},
        headers=REPLAYED,
        rows=1,
        groups=(),
    ),
    "a person has to decide": Case(answer=(202, "pending_approval"), tool="ask", rows=1),
    "a person has to decide, again": Case(
        answer=(202, "pending_approval"),
        before=earlier(tool="ask", same_key=True),
        tool="ask",
        headers=REPLAYED,
        rows=1,
    ),
    "nobody decided": Case(
        answer=(200, "declined"), before=expired_question, tool="ask", headers=REPLAYED, rows=1
    ),
    "read": Case(answer=(200, "succeeded"), tool="look", arguments={"name": "old"}, has_key=False),
    "model repeats itself": Case(answer=(200, "succeeded"), before=earlier(), rows=2, groups=WITH_RED),
    "third repeat": Case(answer=(422, "repeated_call"), before=earlier(times=3), rows=4, groups=WITH_RED),
    "fifth repeat": Case(answer=(403, "loop_detected"), before=two_refused_repeats, rows=6, groups=WITH_RED),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_call_is_answered_and_kept_as_the_table_says(post_call, run, case):
    key = testing.new_key()
    case.before(run, key)
    token = testing.token_of(run, lifetime=case.lifetime)

    response = post_call(token, case.tool, case.arguments, key=key if case.has_key else None)

    told = response.json()
    assert (response.status_code, told.get("code") or told["status"]) == case.answer
    assert {name: response.headers.get(name) for name in case.headers} == case.headers
    assert models.ToolCall.objects.count() == case.rows
    assert tuple(Group.objects.order_by("name").values_list("name", flat=True)) == case.groups


def test_a_malformed_key_is_refused_and_a_quoted_one_is_the_bare_one(post_call, run, problem_of):
    key = testing.new_key()
    first = post_call(run, "keep", {"name": "red"}, key=key)

    malformed = [
        post_call(run, "keep", {"name": "blue"}, key=wrong) for wrong in (f'"{key}', f"{key}x", '""')
    ]

    assert [problem_of(response) for response in malformed] == [(400, "idempotency_key_malformed")] * 3
    assert post_call(run, "keep", {"name": "red"}, key=f'"{key}"').content == first.content


class Exact(tools.Schema):
    number: float
    text: str = ""


class Echo(BaseModel):
    zeta: float
    alpha: dict[str, Any]


@pytest.fixture
def echo(declare):
    def tell(context: tools.Context, call: Exact) -> Echo:
        """Tell what came."""
        Group.objects.create(name=str(Group.objects.count()))
        return Echo(zeta=call.number, alpha={"ü": -0.0, "b": 1.0, "a": [2**62, 1e-300, {"z": 1, "y": None}]})

    return declare(tell)


@pytest.mark.parametrize("number", [1e22, 1e23, 0.1, -0.0, 1.0, 5e-324, 1.7976931348623157e308])
def test_a_replay_is_the_first_answer_to_the_letter(post_call, start_run, echo, number):
    run, key = start_run(echo), testing.new_key()
    first = post_call(run, echo, {"number": number}, key=key)

    renewed = post_call(run, echo, {"number": number}, key=key)
    models.Run.objects.update(epoch=7)
    run.refresh_from_db()
    taken_over = post_call(run, echo, {"text": "", "number": number}, key=key)

    assert first.status_code == 200
    assert json.loads(first.content)["result"]["zeta"] == number
    assert first.content == renewed.content == taken_over.content
    assert b'"zeta":' in first.content.split(b'"alpha":')[0]
    assert Group.objects.count() == 1


@pytest.mark.parametrize("number", [1e22, 1e23, -0.0])
def test_an_approval_runs_numbers_as_they_were_asked_for(post_call, start_run, declare, make_user, number):
    told = []

    def tell(context: tools.Context, call: Exact) -> Done:
        """Keep a number."""
        told.append(call.number)
        return Done(name="told")

    tool = declare(tell, approval=tools.ApprovalRule(permission="auth.add_group"))
    run, key = start_run(tool), testing.new_key()
    asked = [post_call(run, tool, {"number": number}, key=key).content for _ in range(2)]

    testing.decide(models.Approval.objects.get().pk, by=make_user(is_superuser=True))

    assert [str(one) for one in told] == [str(number)]
    assert asked[0] == asked[1]


def test_who_acts_and_for_whom_is_in_every_row(post_call, start_run, declare, make_user):
    run = start_run(
        declare(keep), declare(keep, name="ask", approval=tools.ApprovalRule(permission="auth.add_group"))
    )
    for name, tool in [("red", "keep"), ("red", "keep"), ("blue", "ask")]:
        post_call(run, tool, {"name": name})

    rows = models.ToolCall.objects.values_list("status", "agent_user", "acting_for")

    users = (run.agent.user.pk, run.started_by.pk)
    assert sorted(rows) == [(status, *users) for status in ("pending_approval", "repeated", "succeeded")]
