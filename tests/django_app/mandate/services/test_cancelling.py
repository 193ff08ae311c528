"""What was at work when a run was cancelled: after the cancel has returned, nothing of it commits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from pydantic import BaseModel

from mandate import exceptions, models, testing, tools
from mandate.services import approvals, runs, tool_calls
from mandate.tokens import hash_run_token
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import ToolCallRequest

pytestmark = pytest.mark.django_db(transaction=True)

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%%pg_advisory_xact_lock(%%'
"""


class Ask(tools.Schema):
    name: str = "red"


class Done(BaseModel):
    name: str


class Gate:
    """A place in a tool where it stands until the test lets it go."""

    def __init__(self):
        self.inside, self.may_go = threading.Event(), threading.Event()

    def stand(self):
        self.inside.set()
        assert self.may_go.wait(timeout=60)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def blocking_tool(declare, gate):
    def work(context: tools.Context, call: Ask) -> Done:
        """Write, and stand before the commit."""
        group = Group.objects.create(name=call.name)
        gate.stand()
        return Done(name=group.name)

    return declare(work)


@pytest.fixture
def preparing_tool(declare, gate):
    def look(context: tools.Context, call: Ask) -> str:
        gate.stand()
        return call.name

    def work(context: tools.Context, call: Ask, prepared: str) -> Done:
        """Write what was prepared."""
        return Done(name=Group.objects.create(name=prepared).name)

    def make(**options):
        return declare(work, prepare=look, **options)

    return make


@pytest.fixture
def in_threads():
    with ThreadPoolExecutor(2) as pool:

        def begin(function, *arguments, **named):
            def work():
                try:
                    return function(*arguments, **named)
                except exceptions.MandateError as refusal:
                    return refusal.code
                finally:
                    connection.close()

            return pool.submit(work)

        yield begin


@pytest.fixture
def wait_for_lock():
    """Waits until another connection waits for the lock of a run."""

    def wait():
        tick = threading.Event()
        for _ in range(12_000):
            with connection.cursor() as cursor:
                cursor.execute(WAITING)
                if cursor.fetchone()[0]:
                    return
            tick.wait(0.005)
        pytest.fail("Nobody waits for a run.")

    return wait


def call_with(token, name, arguments):
    asked = ToolCallRequest(arguments=arguments)
    call = tool_calls.Call(token_hash=hash_run_token(token), tool=name, key=testing.new_key(), request=asked)
    return tool_calls.answer(call)


def cancelled_with(run):
    """Cancel, and return how many effects there were when that had answered."""
    runs.cancel(run.pk)
    return Group.objects.count()


def test_a_cancel_waits_for_the_tool_that_is_writing(
    start_run, blocking_tool, gate, in_threads, wait_for_lock
):
    run = start_run(blocking_tool)
    calling = in_threads(testing.call_tool, blocking_tool, {}, run=run)
    assert gate.inside.wait(timeout=60)

    cancelling = in_threads(cancelled_with, run)
    wait_for_lock()
    assert not cancelling.done()
    gate.may_go.set()

    assert calling.result(timeout=60).result == {"name": "red"}
    assert cancelling.result(timeout=60) == Group.objects.count() == 1


def test_no_call_overtakes_a_cancel_that_waits(
    settings, start_run, blocking_tool, add_tool, gate, in_threads, wait_for_lock
):
    settings.MANDATE = settings.MANDATE | {"LOCK_TIMEOUT": timedelta(milliseconds=100)}
    run = start_run(blocking_tool, add_tool)
    token = testing.token_of(run)
    calling = in_threads(call_with, token, blocking_tool, {})
    assert gate.inside.wait(timeout=60)
    cancelling = in_threads(cancelled_with, run)
    wait_for_lock()

    with pytest.raises(exceptions.RequestRefused) as refused:
        call_with(token, add_tool, {"name": "blue"})
    gate.may_go.set()

    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS
    calling.result(timeout=60)
    assert cancelling.result(timeout=60) == Group.objects.count() == 1


def test_a_cancel_defeats_a_tool_that_fails_after_writing(
    start_run, declare, gate, in_threads, wait_for_lock
):
    def work(context: tools.Context, call: Ask) -> Done:
        """Write, stand, and fail."""
        Group.objects.create(name=call.name)
        gate.stand()
        raise tools.ToolRejected("No.")

    tool = declare(work)
    run = start_run(tool)
    calling = in_threads(testing.call_tool, tool, {}, run=run)
    assert gate.inside.wait(timeout=60)

    cancelling = in_threads(cancelled_with, run)
    wait_for_lock()
    gate.may_go.set()

    assert calling.result(timeout=60) is ErrorCode.REJECTED
    assert cancelling.result(timeout=60) == Group.objects.count() == 0


def test_a_cancel_does_not_wait_for_a_tool_that_prepares(start_run, preparing_tool, gate, in_threads):
    tool = preparing_tool()
    run = start_run(tool)
    calling = in_threads(testing.call_tool, tool, {}, run=run)
    assert gate.inside.wait(timeout=60)

    effects = in_threads(cancelled_with, run).result(timeout=60)
    gate.may_go.set()

    assert calling.result(timeout=60) is ErrorCode.RUN_NOT_ACTIVE
    assert effects == Group.objects.count() == models.ToolCall.objects.count() == 0


@pytest.fixture
def asked(start_run):
    """An approval of a call of a tool."""

    def ask(tool):
        testing.call_tool(tool, {}, run=start_run(tool))
        return models.Approval.objects.get()

    return ask


def test_a_cancel_waits_for_the_approval_that_is_writing(
    declare, gate, asked, make_user, in_threads, wait_for_lock
):
    def work(context: tools.Context, call: Ask) -> Done:
        """Write, and stand before the commit."""
        group = Group.objects.create(name=call.name)
        gate.stand()
        return Done(name=group.name)

    approval = asked(declare(work, approval=tools.ApprovalRule(permission="auth.add_group")))
    person = make_user(is_superuser=True)
    deciding = in_threads(approvals.decide, approval.pk, Decision(decision="approve"), by=person)
    assert gate.inside.wait(timeout=60)

    cancelling = in_threads(cancelled_with, approval.run)
    wait_for_lock()
    assert not cancelling.done()
    gate.may_go.set()

    assert deciding.result(timeout=60).status == "approved"
    assert cancelling.result(timeout=60) == Group.objects.count() == 1
    approval.run.refresh_from_db()
    assert approval.run.status == RunStatus.CANCELLED


def test_a_cancel_while_an_approval_prepares_withdraws_it(preparing_tool, gate, asked, make_user, in_threads):
    approval = asked(preparing_tool(approval=tools.ApprovalRule(permission="auth.add_group")))
    person = make_user(is_superuser=True)
    deciding = in_threads(approvals.decide, approval.pk, Decision(decision="approve"), by=person)
    assert gate.inside.wait(timeout=60)

    effects = in_threads(cancelled_with, approval.run).result(timeout=60)
    gate.may_go.set()

    assert deciding.result(timeout=60) is ErrorCode.ALREADY_DECIDED
    assert effects == Group.objects.count() == 0
    approval.refresh_from_db()
    assert approval.status == "cancelled"
