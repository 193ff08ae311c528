"""A run reaches the agent service if, and only if and only after, it has committed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from mandate import agent_client, models
from mandate.services import dispatcher, runs
from tests.django_app.mandate import waking

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def elsewhere():
    """Does something as another process would: on a connection of its own."""

    def do(act):
        def and_close():
            try:
                return act()
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(and_close).result(timeout=60)

    return do


@pytest.fixture
def submit():
    """Gives a run to the agent service without the outbox."""

    def now(run):
        agent_client.submit(run, key=f"{run.pk}:1", segment=1, graph=run.agent.graph, given=run.input)

    return now


@pytest.fixture
def begin(request, start, submit):
    """Start a run the way that the test is about."""

    def by_outbox():
        return start()

    def by_request():
        run = start()
        submit(run)
        return run

    def on_commit():
        run = start()
        models.OutboxMessage.objects.all().delete()
        transaction.on_commit(lambda: submit(run), robust=True)
        return run

    return {"outbox": by_outbox, "request": by_request, "on_commit": on_commit}[request.param]


def ways(*kept, lost):
    """Parametrise by ways to submit: those that keep what the test asks for, and those that do not."""
    cases = [*((way, True) for way in kept), *((way, False) for way in lost)]
    return pytest.mark.parametrize(("begin", "kept"), cases, indirect=["begin"])


@ways("outbox", "on_commit", lost=["request"])
def test_nobody_works_on_a_run_that_django_does_not_show_yet(begin, kept, elsewhere, agent_service):
    with transaction.atomic():
        run = begin()
        elsewhere(dispatcher.run_due)
        submitted = len(agent_service.runs)
        shown = elsewhere(models.Run.objects.filter(pk=run.pk).exists)

    assert not shown
    assert (submitted == 0) is kept


@ways("outbox", "on_commit", lost=["request"])
def test_a_run_that_was_rolled_back_is_nobodys(begin, kept, elsewhere, agent_service):
    with transaction.atomic():
        begin()
        transaction.set_rollback(True)

    elsewhere(dispatcher.run_due)

    assert not models.Run.objects.exists()
    assert (agent_service.runs == []) is kept


@ways("outbox", lost=["on_commit"])
def test_a_run_that_has_committed_arrives_though_the_agent_service_was_away(
    begin, kept, elsewhere, agent_service, settings
):
    settings.MANDATE = settings.MANDATE | {"AGENT_URL": "http://127.0.0.1:1"}
    with transaction.atomic():
        run = begin()
    settings.MANDATE = settings.MANDATE | {"AGENT_URL": agent_service.url}

    elsewhere(dispatcher.run_due)

    arrived = [one.body["metadata"]["mandate_run"] for one in agent_service.runs]
    assert (arrived == [str(run.pk)]) is kept


@pytest.fixture
def woken(settings):
    def on_message(function):
        settings.MANDATE = settings.MANDATE | {"ON_MESSAGE": f"{waking.__name__}.{function}"}
        waking.CALLS.clear()
        return waking.CALLS

    return on_message


def test_a_teams_queue_is_woken_when_a_message_has_committed_and_not_before(woken, start):
    calls = woken("wake")

    with transaction.atomic():
        start()
        before = list(calls)

    assert (before, calls) == ([], ["woken"])


def test_a_teams_queue_hears_nothing_of_what_was_rolled_back(woken, start):
    calls = woken("wake")

    with transaction.atomic():
        start()
        transaction.set_rollback(True)

    assert calls == []


def test_a_queue_that_is_away_loses_nothing(woken, start, agent_service):
    calls = woken("fail")
    run = start()

    dispatcher.run_due()

    assert calls == ["failed"]
    assert [one.body["metadata"]["mandate_run"] for one in agent_service.runs] == [str(run.pk)]


def test_a_function_that_does_not_exist_is_said_before_anything_is_promised(settings, start):
    settings.MANDATE = settings.MANDATE | {"ON_MESSAGE": "shop.tasks.nothing"}

    with pytest.raises(ImportError):
        start()

    assert not models.Run.objects.exists()
    assert not models.OutboxMessage.objects.exists()


def test_everything_that_is_due_is_done_at_once(parked, agent_service, start):
    run, (approval,) = parked("a")
    models.Approval.objects.update(expires_at=approval.created_at)
    second = start()

    tried = dispatcher.run_due()

    run.refresh_from_db()
    approval.refresh_from_db()
    assert tried == 1
    assert approval.status == approval.Status.EXPIRED
    assert (run.status, run.segment) == ("pending", 2)
    assert agent_service.runs[-1].key == runs.segment_key(second)
