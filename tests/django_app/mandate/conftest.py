"""Runs in every state that they can be in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mandate import exceptions, models
from mandate.services import approvals, dispatcher, runs, webhooks
from shared_schemas.runs import Decision
from shared_schemas.tools import ToolCallStatus


@pytest.fixture
def start(agent, user):
    def start_run(**fields):
        return runs.start(**{"agent": agent.slug, "input": {"topic": "lists"}, "by": user} | fields)

    return start_run


@pytest.fixture
def deliver():
    return dispatcher.deliver_due


@pytest.fixture
def submitted(start, agent_service, deliver):
    """A run that the agent service has taken, and its own run of it."""
    run = start()
    deliver()
    run.refresh_from_db()
    return run, agent_service.runs[-1]


@pytest.fixture
def report(agent_service):
    """Send the webhook about a run of the agent service."""

    def send(fake_run):
        return webhooks.receive(*agent_service.webhook(fake_run))

    return send


@pytest.fixture
def ask(user, agent):
    """Make a question about a call of a run."""

    def make(run, name="a"):
        call = models.ToolCall.objects.create(
            run=run,
            key=name,
            tool="publish",
            arguments={},
            status=ToolCallStatus.PENDING_APPROVAL,
            agent_user=agent.user,
            acting_for=user,
            epoch=1,
        )
        return models.Approval.objects.create(
            run=run,
            tool_call=call,
            permission="auth.view_user",
            message="May I?",
            arguments={},
            expires_at=timezone.now() + timedelta(days=1),
        )

    return make


@pytest.fixture
def ask_for():
    """The interrupts of a graph that waits for approvals."""

    def interrupts(*asked):
        return {
            f"interrupt-{approval.tool_call.key}": {"type": "approval", "approval_id": str(approval.pk)}
            for approval in asked
        }

    return interrupts


@pytest.fixture
def parked(submitted, ask, ask_for, agent_service, report):
    """A run that waits for one approval per name."""

    def park(*names):
        run, fake_run = submitted
        asked = [ask(run, name) for name in names]
        agent_service.park(fake_run, ask_for(*asked), values={"messages": []})
        report(fake_run)
        run.refresh_from_db()
        return run, asked

    return park


@pytest.fixture
def decide(make_user):
    def reject(approval):
        decider = make_user(is_superuser=True)
        return approvals.decide(approval.pk, Decision(decision="reject"), by=decider)

    return reject


@pytest.fixture
def patience(settings):
    """Whoever comes second waits for the first, however slow the machine is."""
    settings.MANDATE = settings.MANDATE | {"LOCK_TIMEOUT": timedelta(seconds=60)}


@pytest.fixture
def at_once(patience):
    """Does all of it at the same moment, each on a connection of its own; returns values or refusals' codes."""

    def run_all(*tasks):
        barrier = threading.Barrier(len(tasks))

        def run(task):
            barrier.wait(timeout=60)
            try:
                return task()
            except exceptions.MandateError as error:
                return error.code
            finally:
                connection.close()

        with ThreadPoolExecutor(len(tasks)) as pool:
            return [future.result(timeout=60) for future in [pool.submit(run, task) for task in tasks]]

    return run_all


@pytest.fixture
def cut_connections(transactional_db):
    """Ends connections to the database, but not the one that asks: those whose last statement is like this."""

    def cut(statement="%"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s",
                [statement],
            )
            return cursor.rowcount

    return cut
