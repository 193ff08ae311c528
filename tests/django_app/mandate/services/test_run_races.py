"""Laws of runs with several connections at once."""

import contextlib
import functools
import sys

import pytest
from django.db import connection, transaction

from mandate import agent_client, exceptions, models
from mandate.services import dispatcher, runs, webhooks
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db(transaction=True)

TRIALS = 8


def test_a_request_repeated_at_once_starts_one_run(at_once, start):
    again = functools.partial(start, idempotency_key="request-1")

    started = at_once(*[again] * TRIALS)

    assert len({run.pk for run in started}) == 1
    assert sorted(run.replayed for run in started) == [False] + [True] * (TRIALS - 1)
    assert models.OutboxMessage.objects.count() == 1


def test_a_conversation_continued_at_once_goes_on_once(at_once, start):
    first = start()
    runs.cancel(first.pk)
    go_on = functools.partial(start, thread_id=first.thread_id)

    answers = at_once(*[go_on] * TRIALS)

    assert answers.count(ErrorCode.THREAD_BUSY) == TRIALS - 1


def test_a_webhook_repeated_at_once_is_applied_once(at_once, submitted, agent_service):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1}, usage=[{"model": "gpt", "calls": 1}])
    deliver = functools.partial(webhooks.receive, *agent_service.webhook(fake_run))

    answers = at_once(*[deliver] * TRIALS)

    assert sorted(answers) == [False] * (TRIALS - 1) + [True]
    assert models.ModelUsage.objects.get(run=run).calls == 1


@pytest.mark.parametrize("trial", range(4))
def test_a_cancelled_run_never_completes_afterwards(at_once, submitted, agent_service, report, trial):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})

    cancelled, _ = at_once(functools.partial(runs.cancel, run.pk), functools.partial(report, fake_run))

    run.refresh_from_db()
    refused = cancelled == ErrorCode.ILLEGAL_TRANSITION
    assert run.status == (RunStatus.COMPLETED if refused else RunStatus.CANCELLED)


@pytest.mark.parametrize("trial", range(4))
def test_decisions_and_the_news_of_parking_in_any_order_continue_the_run_once(
    at_once, submitted, ask, ask_for, decide, agent_service, report, deliver, trial
):
    run, fake_run = submitted
    approvals = [ask(run, "a"), ask(run, "b")]
    agent_service.park(fake_run, ask_for(*approvals))

    at_once(
        functools.partial(report, fake_run), *[functools.partial(decide, approval) for approval in approvals]
    )

    run.refresh_from_db()
    resumes = models.OutboxMessage.objects.filter(run=run, topic=runs.RESUME)
    assert (run.status, run.segment, resumes.count()) == (RunStatus.PENDING, 2, 1)


def test_a_resume_asked_for_at_once_is_one_segment(at_once, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)

    answers = at_once(*[functools.partial(runs.resume, run.pk)] * TRIALS)

    run.refresh_from_db()
    assert answers.count(ErrorCode.ILLEGAL_TRANSITION) == TRIALS - 1
    assert run.segment == 2


def test_many_dispatchers_deliver_each_message_once(at_once, start, agent_service):
    started = [start() for _ in range(12)]

    tried = at_once(*[dispatcher.deliver_due] * 4)

    assert sum(tried) == len(started)
    assert len({fake_run.key for fake_run in agent_service.runs}) == len(agent_service.runs) == len(started)


@pytest.fixture
def interleaved():
    """Lets threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("interleaved", "agent_service")
def test_threads_that_come_first_share_one_client(at_once):
    clients = at_once(*[agent_client._client] * TRIALS)

    assert len(set(map(id, clients))) == 1


def test_a_conversation_that_goes_on_while_its_failed_run_is_resumed_is_busy(
    submitted, agent_service, report, start, meanwhile
):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)
    go_on = functools.partial(start, thread_id=run.thread_id)

    with meanwhile('UPDATE "mandate_run"', go_on), pytest.raises(exceptions.RequestRefused) as refused:
        runs.resume(run.pk)

    assert refused.value.code is ErrorCode.THREAD_BUSY


def test_a_conversation_that_was_busy_is_refused_though_its_run_has_ended_by_then(start, meanwhile):
    first = start()
    cancel = functools.partial(runs.cancel, first.pk)

    with (
        meanwhile("ROLLBACK TO", cancel),
        transaction.atomic(),
        pytest.raises(exceptions.RequestRefused) as refused,
    ):
        start(thread_id=first.thread_id)

    first.refresh_from_db()
    assert (first.status, refused.value.code) == (RunStatus.CANCELLED, ErrorCode.THREAD_BUSY)


@pytest.fixture
def meanwhile(at_once):
    """Does something on another connection when ours is about to send a statement, once."""

    @contextlib.contextmanager
    def waiting_for(statement, task):
        tasks = [task]

        def watch(execute, sql, *rest):
            if statement in sql and tasks:
                at_once(tasks.pop())
            return execute(sql, *rest)

        with connection.execute_wrapper(watch):
            yield

    return waiting_for
