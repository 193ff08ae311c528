import functools
import logging
import queue
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save, pre_delete
from django.utils import timezone

from mandate import exceptions, models, notifications, signals
from mandate.services import dispatcher, outbox, runs, sessions
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus
from shared_schemas.tools import SessionCreate

pytestmark = pytest.mark.django_db

Status = models.OutboxMessage.Status


def _due_now():
    _due_at(timezone.now())


def _due_at(moment):
    models.OutboxMessage.objects.filter(status=Status.PENDING).update(next_attempt_at=moment)


@pytest.fixture
def topic():
    """A topic whose deliveries are listed, and fail as long as `failing` says."""

    class Receiver:
        def __init__(self):
            self.received, self.given_up, self.failing = [], [], None

        def deliver(self, message):
            if self.failing:
                raise self.failing
            self.received.append(message.key)

    receiver = Receiver()
    outbox.topic("test.mail", give_up=lambda message: receiver.given_up.append(message.key))(receiver.deliver)
    return receiver


def test_a_submission_says_who_what_and_with_which_mandate(start, agent_service, deliver, user):
    run = start(model="gpt-other")

    deliver()

    fake_run = agent_service.runs[0]
    run.refresh_from_db()
    assert str(run.agent_run_id) == fake_run.run_id
    assert (fake_run.owner, fake_run.key, fake_run.thread_id) == (str(user.pk), f"{run.pk}:1", str(run.pk))
    assert fake_run.body["metadata"]["mandate_run"] == str(run.pk)
    assert fake_run.body["context"] == {"model": "gpt-other"}
    assert fake_run.body["input"] == {"topic": "lists"}
    assert (fake_run.body["if_not_exists"], fake_run.body["durability"]) == ("create", "sync")


def test_a_message_waits_while_the_agent_service_is_away(start, agent_service, deliver):
    agent_service.refusing = (503, ErrorCode.UNAVAILABLE)
    run = start()
    deliver()
    agent_service.refusing = None
    _due_now()

    deliver()

    message = models.OutboxMessage.objects.get(run=run)
    assert (message.status, message.attempts) == (Status.DELIVERED, 2)
    assert len(agent_service.runs) == 1


def test_a_repeated_submission_is_one_run(start, agent_service, deliver):
    start()
    deliver()
    message = models.OutboxMessage.objects.get()
    models.Run.objects.update(agent_run_id=None)

    outbox.redeliver(message)
    deliver()

    assert len(agent_service.runs) == 1
    assert str(models.Run.objects.get().agent_run_id) == agent_service.runs[0].run_id


@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [
        pytest.param((422, ErrorCode.UNKNOWN_MODEL), 200, id="for good"),
        pytest.param((503, ErrorCode.UNAVAILABLE), 1, id="too often"),
    ],
)
def test_a_run_that_cannot_be_delivered_fails(start, agent_service, deliver, settings, refusal, attempts):
    settings.MANDATE = {**settings.MANDATE, "DELIVERY_ATTEMPTS": attempts}
    agent_service.refusing = refusal
    run = start()

    deliver()

    run.refresh_from_db()
    assert models.OutboxMessage.objects.get().status == Status.DEAD
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.SUBMISSION_FAILED)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        pytest.param((400, ErrorCode.INVALID_REQUEST), Status.DEAD, id="400"),
        pytest.param((401, ErrorCode.UNAUTHENTICATED), Status.PENDING, id="401 keys are mended"),
        pytest.param((403, ErrorCode.FORBIDDEN), Status.PENDING, id="403 scopes are mended"),
        pytest.param((404, ErrorCode.UNKNOWN_GRAPH), Status.DEAD, id="404"),
        pytest.param((408, ErrorCode.UNAVAILABLE), Status.PENDING, id="408"),
        pytest.param((409, ErrorCode.CONFLICT), Status.DEAD, id="409"),
        pytest.param((409, ErrorCode.THREAD_BUSY), Status.PENDING, id="409 the thread becomes free"),
        pytest.param((409, ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS), Status.PENDING, id="409 in progress"),
        pytest.param((422, ErrorCode.IDEMPOTENCY_KEY_REUSED), Status.DEAD, id="422"),
        pytest.param((425, ErrorCode.UNAVAILABLE), Status.PENDING, id="425"),
        pytest.param((429, ErrorCode.TOO_MANY_REQUESTS), Status.PENDING, id="429"),
        pytest.param((500, ErrorCode.INTERNAL), Status.PENDING, id="500"),
        pytest.param((504, ErrorCode.UNAVAILABLE), Status.PENDING, id="504"),
    ],
)
def test_only_what_may_pass_is_tried_again(start, agent_service, deliver, refusal, status):
    agent_service.refusing = refusal
    run = start()

    deliver()

    message = models.OutboxMessage.objects.get()
    run.refresh_from_db()
    assert (message.status, message.attempts) == (status, 1)
    assert str(refusal[0]) in message.last_error
    assert run.status == (RunStatus.FAILED if status == Status.DEAD else RunStatus.PENDING)


def test_messages_of_a_run_are_delivered_in_order(start, agent_service, deliver):
    agent_service.refusing = (503, ErrorCode.UNAVAILABLE)
    run = start()
    deliver()
    agent_service.refusing = None
    _due_at(timezone.now() + timedelta(hours=1))
    outbox.write(runs.CANCEL, key="later", payload={}, run=run)

    deliver()

    assert agent_service.cancelled == []


def test_a_cancelled_run_is_cancelled_at_the_agent_service(submitted, agent_service, deliver):
    run, fake_run = submitted
    runs.cancel(run.pk)

    deliver()

    assert agent_service.cancelled == [fake_run.run_id]


def test_a_run_cancelled_before_its_delivery_is_never_submitted(start, agent_service, deliver):
    run = start()
    runs.cancel(run.pk)

    deliver()

    assert agent_service.runs == []
    assert not models.OutboxMessage.objects.exclude(status=Status.DELIVERED).exists()


def test_a_run_cancelled_before_its_submission_was_answered_is_stopped_if_a_worker_has_it(
    submitted, agent_service, deliver
):
    run, fake_run = submitted
    models.Run.objects.update(agent_run_id=None)
    outbox.redeliver(models.OutboxMessage.objects.get())
    sessions.open_or_renew(SessionCreate(run_id=run.pk, thread_id=str(run.thread_id), epoch=1))
    runs.cancel(run.pk)

    deliver()

    assert agent_service.cancelled == [fake_run.run_id]
    assert len(agent_service.runs) == 1


@pytest.fixture(params=[ZeroDivisionError("oops"), OperationalError("a lock was not to be had")], ids=repr)
def fault(request):
    """What a project's own code may raise."""
    return request.param


def test_a_message_whose_loss_cannot_be_told_holds_up_no_other(topic, deliver, start, agent_service, fault):
    def refuse(message):
        raise fault

    topic.failing = exceptions.DeliveryFailed(ErrorCode.UNAVAILABLE, "away", permanent=True)
    outbox.topic("test.mail", give_up=refuse)(topic.deliver)
    message = outbox.write("test.mail", key="mail-1", payload={})
    start()

    deliver()

    message.refresh_from_db()
    assert message.status == Status.DEAD
    assert len(agent_service.runs) == 1


def test_a_projects_own_message_is_delivered_by_its_topic(topic, deliver):
    outbox.write("test.mail", key="mail-1", payload={"to": "somebody"})

    deliver()

    assert topic.received == ["mail-1"]


def test_an_unexpected_error_delays_a_message_and_no_other(topic, deliver, start, agent_service):
    topic.failing = ZeroDivisionError("oops")
    message = outbox.write("test.mail", key="mail-1", payload={})
    start()
    before = timezone.now()

    deliver()

    message.refresh_from_db()
    assert (message.status, message.attempts) == (Status.PENDING, 1)
    assert message.last_error == "ZeroDivisionError: oops"
    assert message.next_attempt_at >= before + timedelta(seconds=0.25)
    assert len(agent_service.runs) == 1


def test_a_message_that_fails_is_tried_once_however_long_the_others_take(topic, deliver):
    topic.failing = exceptions.DeliveryFailed(ErrorCode.UNAVAILABLE, "away")
    failing = outbox.write("test.mail", key="mail-1", payload={})
    outbox.topic("test.slow")(lambda _: _due_now())
    outbox.write("test.slow", key="slow-1", payload={})

    tried = deliver()

    failing.refresh_from_db()
    assert (tried, failing.attempts) == (2, 1)


def test_an_error_that_cannot_be_kept_delays_its_message_and_no_other(
    topic, deliver, start, agent_service, caplog
):
    # The log shows it as it is, which no report between processes of a test run can carry.
    caplog.set_level(logging.CRITICAL, dispatcher.logger.name)
    topic.failing = OSError("no such file: \udcff\x00")
    message = outbox.write("test.mail", key="mail-1", payload={})
    start()

    deliver()

    message.refresh_from_db()
    assert (message.status, message.last_error) == (Status.PENDING, "OSError: no such file: ?")
    assert len(agent_service.runs) == 1


def test_what_a_failed_delivery_wrote_is_undone(topic, deliver, agent):
    def deliver_half(message):
        models.Comparison.objects.create(name="half", started_by=agent.user)
        raise exceptions.DeliveryFailed(ErrorCode.UNAVAILABLE, "away", permanent=True)

    outbox.topic("test.mail", give_up=lambda message: topic.given_up.append(message.key))(deliver_half)
    outbox.write("test.mail", key="mail-1", payload={})

    deliver()

    assert not models.Comparison.objects.exists()
    assert topic.given_up == ["mail-1"]


def test_a_message_of_an_unknown_topic_waits_for_somebody_who_knows_it(deliver):
    message = outbox.write("test.unknown", key="x", payload={})

    deliver()

    message.refresh_from_db()
    assert (message.status, message.attempts) == (Status.PENDING, 1)


@pytest.mark.parametrize(("attempts", "longest"), [(0, 0.5), (1, 1), (4, 8), (5, 15), (100, 15)])
def test_the_pauses_grow_and_differ(topic, deliver, attempts, longest):
    topic.failing = exceptions.DeliveryFailed(ErrorCode.UNAVAILABLE, "away")
    messages = [outbox.write("test.mail", key=f"mail-{number}", payload={}) for number in range(5)]
    models.OutboxMessage.objects.update(attempts=attempts)
    before = timezone.now()

    deliver()

    took = timezone.now() - before
    waits = [one.next_attempt_at - before for one in models.OutboxMessage.objects.all()]
    assert min(waits) >= timedelta(seconds=longest / 2)
    assert max(waits) < timedelta(seconds=longest) + took
    assert len(set(waits)) == len(messages)


def test_a_run_whose_webhook_never_came_is_pulled(submitted, agent_service):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})

    dispatcher.keep_house(now=timezone.now() + timedelta(seconds=31))

    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED


@pytest.fixture
def refuse_end(fault):
    """The runs whose end a project refuses."""
    refused = set()

    def receive(run, **_):
        if run.pk in refused:
            raise fault

    signals.run_ended.connect(receive)
    yield refused
    signals.run_ended.disconnect(receive)


def test_a_run_whose_end_a_receiver_refuses_holds_up_no_other(start, agent_service, deliver, refuse_end):
    first, second = start(), start()
    deliver()
    for fake_run in agent_service.runs:
        agent_service.finish(fake_run, {"result": 1})
    refuse_end.add(first.pk)

    dispatcher.keep_house(now=timezone.now() + timedelta(seconds=31))

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (RunStatus.PENDING, RunStatus.COMPLETED)


def test_a_run_whose_failure_a_receiver_refuses_fails_when_it_does_not(
    start, agent_service, deliver, refuse_end
):
    agent_service.refusing = (422, ErrorCode.UNKNOWN_MODEL)
    run = start()
    refuse_end.add(run.pk)
    deliver()
    refuse_end.clear()
    _due_now()

    deliver()

    run.refresh_from_db()
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.SUBMISSION_FAILED)
    assert models.OutboxMessage.objects.get().status == Status.DEAD


def test_a_run_that_the_agent_service_cannot_tell_of_holds_up_no_other(start, agent_service, deliver):
    for _ in range(3):
        start()
    deliver()
    first, unreadable, last = agent_service.runs
    for fake_run in agent_service.runs:
        agent_service.finish(fake_run, {"result": 1})
    del unreadable.body["metadata"]["mandate_segment"]

    for seconds in (31, 41):
        dispatcher.keep_house(now=timezone.now() + timedelta(seconds=seconds))

    ended = models.Run.objects.filter(status=RunStatus.COMPLETED)
    assert {str(run.agent_run_id) for run in ended} == {first.run_id, last.run_id}


def test_a_run_that_works_on_is_left_alone_and_not_asked_about_at_once_again(submitted, agent_service):
    run, _ = submitted
    later = timezone.now() + timedelta(seconds=31)
    dispatcher.reconcile(now=later)
    asked = len(agent_service.asked)

    dispatcher.reconcile(now=later + timedelta(seconds=1))

    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
    assert len(agent_service.asked) == asked


def test_a_run_that_the_agent_service_lost_fails(submitted, agent_service):
    run, _ = submitted
    agent_service.runs.clear()

    dispatcher.reconcile(now=timezone.now() + timedelta(seconds=31))

    run.refresh_from_db()
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.NOT_FOUND)


def test_an_approval_that_nobody_decided_lets_its_run_go_on(parked):
    run, (approval,) = parked("a")

    dispatcher.keep_house(now=approval.expires_at)

    run.refresh_from_db()
    assert (run.status, run.segment) == (RunStatus.PENDING, 2)


def test_a_question_that_a_receiver_refuses_to_close_holds_up_no_other(submitted, ask, fault):
    run, _ = submitted
    first, second = ask(run, "a"), ask(run, "b")

    def refuse(instance, **_):
        if instance.pk == first.pk:
            raise fault

    post_save.connect(refuse, sender=models.Approval)
    dispatcher.keep_house(now=second.expires_at)
    post_save.disconnect(refuse, sender=models.Approval)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("pending", "expired")


def test_old_runs_go_with_everything_of_theirs(parked):
    run, _ = parked("a")
    runs.cancel(run.pk)
    outbox.write("test.mail", key="mail-1", payload={})

    dispatcher.prune(now=timezone.now() + timedelta(days=31))

    assert not models.Run.objects.exists()
    assert not models.ToolCall.objects.exists()
    assert models.OutboxMessage.objects.get().key == "mail-1"


def test_an_old_run_that_the_project_keeps_holds_up_no_other(start, fault):
    kept, other = start(), start()
    for run in (kept, other):
        runs.cancel(run.pk)
    outbox.write("test.mail", key="mail-1", payload={})
    models.OutboxMessage.objects.update(status=Status.DELIVERED, delivered_at=timezone.now())

    def keep(instance, **_):
        if instance.pk == kept.pk:
            raise fault

    pre_delete.connect(keep, sender=models.Run)
    dispatcher.prune(now=timezone.now() + timedelta(days=31))
    pre_delete.disconnect(keep, sender=models.Run)

    assert models.Run.objects.get() == kept
    assert not models.OutboxMessage.objects.filter(run=None).exists()


@pytest.mark.django_db(transaction=True)
def test_an_old_run_that_is_being_resumed_is_kept(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)
    pruning = threading.Thread(target=_prune_and_close)

    with transaction.atomic():
        runs.resume(run.pk)
        pruning.start()
        # It waits for no run that somebody holds.
        pruning.join(10)
    pruning.join()

    assert models.Run.objects.get().status == RunStatus.PENDING


@pytest.mark.django_db(transaction=True)
def test_two_dispatchers_deliver_a_message_once(topic):
    outbox.write("test.mail", key="mail-1", payload={})
    held, seen = threading.Event(), threading.Event()
    deliver_once = topic.deliver

    def deliver_slowly(message):
        held.set()
        seen.wait(60)
        deliver_once(message)

    outbox.topic("test.mail")(deliver_slowly)
    other = threading.Thread(target=_deliver_and_close)
    other.start()
    assert held.wait(60)

    tried = dispatcher.deliver_due()
    seen.set()
    other.join()

    assert tried == 0
    assert topic.received == ["mail-1"]


@pytest.fixture
def dispatching(transactional_db):
    """A thread that delivers what commits."""
    stopping = threading.Event()
    thread = threading.Thread(target=dispatcher._deliver_until, args=(stopping,))
    thread.start()
    yield
    stopping.set()
    notifications.notify(notifications.OUTBOX)
    thread.join()


@pytest.fixture
def delivered():
    """Grows with each delivery of a message of the topic `test.mail`."""
    deliveries = queue.Queue()
    outbox.topic("test.mail")(lambda message: deliveries.put(message.key))
    return deliveries


@pytest.mark.django_db(transaction=True)
def test_a_committed_message_wakes_a_waiting_dispatcher(delivered, dispatching):
    with transaction.atomic():
        outbox.write("test.mail", key="mail-1", payload={})

    assert delivered.get(timeout=60) == "mail-1"


@pytest.mark.django_db(transaction=True)
def test_a_dispatcher_outlives_its_connections(delivered, dispatching, cut_connections):
    outbox.write("test.mail", key="mail-1", payload={})
    delivered.get(timeout=60)

    cut_connections()
    outbox.write("test.mail", key="mail-2", payload={})

    # The first one may come again, if its delivery had not committed yet.
    assert "mail-2" in iter(functools.partial(delivered.get, timeout=60), None)


def _deliver_and_close():
    try:
        dispatcher.deliver_next()
    finally:
        connection.close()


def _prune_and_close():
    try:
        dispatcher.prune(now=timezone.now() + timedelta(days=31))
    finally:
        connection.close()
