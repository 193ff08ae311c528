"""Delivers the outbox, and looks after runs that nobody calls about. Any number may work at once.

A team with a task queue of its own has it call `run_due`: on a schedule, and by the setting `ON_MESSAGE` at
once.
"""

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from mandate import agent_client, conf, exceptions, models, notifications, threads
from mandate.models.run import AT_WORK
from mandate.services import approvals, outbox, outcomes, submissions
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode

logger = logging.getLogger(__name__)

DELIVERIES_AT_ONCE = 4
HOUSEKEEPING_INTERVAL = 10
"""Seconds."""

TOPICS_OF_RUNS = (submissions.submit, submissions.cancel)
"""Declared by being imported: whoever dispatches can deliver them."""

_LONGEST_WAIT = 10
_PRUNING_INTERVAL = 3600
_BATCH = 200

_FIRST_DELAY = timedelta(milliseconds=500)
_LONGEST_DELAY = timedelta(seconds=15)

_Status = models.OutboxMessage.Status
_CONNECTION_LOST = (OperationalError, InterfaceError, psycopg.OperationalError)


def run_due() -> int:
    """Do all that is due now, and return how many messages were tried.

    What `serve` does for ever, once: for a task queue, or for cron. Any number may do it at the same time.
    """
    tried = deliver_due()
    keep_house()
    prune(now=timezone.now())
    return tried


def deliver_due() -> int:
    """Deliver every message that is due, each once, and return how many were tried."""
    tried, began = 0, timezone.now()
    while deliver_next(began=began):
        tried += 1
    return tried


def deliver_next(*, began: datetime | None = None) -> bool:
    """Try the next due message, and return whether there was one.

    One that failed since `began` may be due again, and is left to another time.
    The message stays locked meanwhile; what its delivery writes commits together with its new state.
    """
    with transaction.atomic():
        now = timezone.now()
        message = _claim(now, began=began or now)
        if message is None:
            return False
        try:
            with transaction.atomic():
                crashing.point("outbox.before_delivery")
                outbox.deliver(message)
        except exceptions.DeliveryFailed as error:
            _failed(message, error.detail, permanent=error.permanent)
        except Exception as error:
            logger.exception("outbox.delivery_failed message=%s topic=%s", message.pk, message.topic)
            _failed(message, f"{type(error).__name__}: {error}", permanent=False)
        else:
            _delivered(message)
            crashing.point("outbox.before_commit")
    crashing.point("outbox.after_commit")
    return True


def keep_house(*, now: datetime | None = None) -> None:
    """Pull runs whose webhook is late, and warn of and expire approvals that nobody decided."""
    moment = now or timezone.now()
    approvals.warn(now=moment)
    approvals.expire(now=moment)
    reconcile(now=moment)


def reconcile(*, now: datetime) -> None:
    """Ask the agent service about the runs that it should have called about."""
    for _ in range(_BATCH):
        run = _late_run(now)
        if run is None:
            return
        try:
            _pull(run)
        except exceptions.DeliveryFailed as error:
            # The others come first the next time, should the answer have been about this one alone.
            logger.warning("run.not_pulled run=%s reason=%s", run.pk, error.detail)
            return
        except Exception:
            if not connection.is_usable():
                raise
            # The others do not wait for one whose end a project's receiver refuses.
            logger.exception("run.not_reconciled run=%s", run.pk)


def _pull(run: models.Run) -> None:
    """Take over what became of a run.

    Raises:
        DeliveryFailed: the agent service does not answer.
    """
    assert run.agent_run_id is not None
    try:
        outcomes.apply(run.pk, agent_client.pull(run, run.agent_run_id))
    except exceptions.DeliveryFailed as error:
        if error.code == ErrorCode.NOT_FOUND:
            outcomes.lose(run.pk, segment=run.segment)
        elif not error.permanent:
            raise


def prune(*, now: datetime) -> None:
    """Delete what has been kept long enough: ended runs with their ledger, messages without a run, threads."""
    before = now - conf.settings().ledger_retention
    ended = list(models.Run.objects.filter(ended_at__lt=before).values_list("pk", flat=True))
    for start in range(0, len(ended), _BATCH):
        _delete_ended(ended[start : start + _BATCH], before)
    models.OutboxMessage.objects.filter(run=None, delivered_at__lt=before).delete()
    models.WebhookReceipt.objects.filter(run=None, received_at__lt=before).delete()
    if retention := conf.settings().checkpoint_retention:
        threads.delete_rested(before=now - retention)


def _delete_ended(run_ids: Sequence[uuid.UUID], before: datetime) -> None:
    """Delete runs that have ended, and not been resumed; one that the project's own code keeps holds up no other."""
    ended = models.Run.objects.filter(pk__in=run_ids, ended_at__lt=before)
    try:
        with transaction.atomic():
            # Held, and not those that are held: one that a person resumes in this moment has not ended any more.
            going = list(ended.select_for_update(skip_locked=True).values_list("pk", flat=True))
            models.Run.objects.filter(pk__in=going).delete()
    except Exception:
        if not connection.is_usable():
            raise
        if len(run_ids) == 1:
            logger.exception("run.not_pruned run=%s", run_ids[0])
            return
        for run_id in run_ids:
            _delete_ended([run_id], before)


def serve() -> None:
    """Work until an exception, `SystemExit` of a signal among them, ends it; deliveries at hand are finished."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_deliver_until, args=(stopping,), name=f"deliver-{number}")
        for number in range(DELIVERIES_AT_ONCE)
    ]
    try:
        for thread in threads:
            thread.start()
        _keep_house_for_ever()
    finally:
        stopping.set()
        with contextlib.suppress(*_CONNECTION_LOST):
            notifications.notify(notifications.OUTBOX)
        for thread in threads:
            if thread.ident:
                thread.join()


def _keep_house_for_ever() -> None:
    pruned_at = float("-inf")
    while True:
        try:
            keep_house()
            if time.monotonic() - pruned_at > _PRUNING_INTERVAL:
                prune(now=timezone.now())
                pruned_at = time.monotonic()
        except Exception:
            logger.exception("dispatcher.housekeeping_failed")
            close_old_connections()
        time.sleep(HOUSEKEEPING_INTERVAL)


def _deliver_until(stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            _deliver_when_woken(stopping)
        except _CONNECTION_LOST as error:
            logger.warning("dispatcher.database_lost reason=%s", error)
            stopping.wait(1)
        finally:
            connection.close()


def _deliver_when_woken(stopping: threading.Event) -> None:
    # Listening comes before the first look: what commits in between wakes us.
    with contextlib.closing(notifications.Listener(notifications.OUTBOX)) as listener:
        while not stopping.is_set():
            while not stopping.is_set() and deliver_next():
                pass
            if not stopping.is_set():
                listener.wait(_seconds_to_next())


def _claim(now: datetime, *, began: datetime) -> models.OutboxMessage | None:
    """Lock the next due message whose run has no earlier one open; not one that was tried since `began`."""
    pending = models.OutboxMessage.objects.filter(status=_Status.PENDING)
    earlier = pending.filter(run_id=OuterRef("run_id"), id__lt=OuterRef("id"))
    untried = Q(attempts=0) | Q(next_attempt_at__lte=began)
    due = pending.filter(~Exists(earlier), untried, next_attempt_at__lte=now).order_by(
        "next_attempt_at", "id"
    )
    return due.select_for_update(skip_locked=True).first()


def _seconds_to_next() -> float:
    now = timezone.now()
    # One that is due already is in another's hands.
    due = models.OutboxMessage.objects.filter(status=_Status.PENDING, next_attempt_at__gt=now)
    first = due.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()
    return min((first - now).total_seconds(), _LONGEST_WAIT) if first else _LONGEST_WAIT


def _delivered(message: models.OutboxMessage) -> None:
    message.status = _Status.DELIVERED
    message.attempts += 1
    message.delivered_at = timezone.now()
    message.last_error = ""
    message.save()


def _failed(message: models.OutboxMessage, reason: str, *, permanent: bool) -> None:
    message.attempts += 1
    message.last_error = exceptions.storable(reason)[:2000]
    message.next_attempt_at = timezone.now() + _delay(message.attempts)
    if permanent or message.attempts >= conf.settings().delivery_attempts:
        message.status, message.next_attempt_at = _Status.DEAD, timezone.now()
        logger.error("outbox.dead message=%s topic=%s reason=%s", message.pk, message.topic, reason)
    message.save()
    if message.status == _Status.DEAD:
        _give_up(message)


def _give_up(message: models.OutboxMessage) -> None:
    try:
        with transaction.atomic():
            outbox.give_up(message)
    except Exception:
        if not connection.is_usable():
            raise
        # It would end the thread that delivers, and the next one that takes the same message.
        logger.exception("outbox.not_given_up message=%s topic=%s", message.pk, message.topic)
        if message.run_id is not None:
            # Nobody else brings its run this news.
            message.status, message.next_attempt_at = _Status.PENDING, timezone.now() + _LONGEST_DELAY
            message.save()


def _delay(attempts: int) -> timedelta:
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * (1 << min(attempts - 1, 10)))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing


def _late_run(now: datetime) -> models.Run | None:
    """Take the run that was not asked about for the longest time, so that no other dispatcher asks too."""
    late = now - conf.settings().reconcile_after
    with transaction.atomic():
        due = models.Run.objects.filter(
            Q(reconciled_at=None) | Q(reconciled_at__lt=late),
            status__in=AT_WORK,
            agent_run_id__isnull=False,
            updated_at__lt=late,
        ).order_by(F("reconciled_at").asc(nulls_first=True))
        run = due.select_for_update(skip_locked=True, no_key=True).first()
        if run is not None:
            models.Run.objects.filter(pk=run.pk).update(reconciled_at=now)
    return run
