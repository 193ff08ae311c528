from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from mandate import models
from mandate.selectors import operation
from mandate.services import runs

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=ZoneInfo("UTC"))


@pytest.fixture
def ended(start):
    """Makes a run that ended some time ago."""

    def make(status, ago, cost=None):
        run = start()
        models.Run.objects.filter(pk=run.pk).update(status=status, ended_at=NOW - ago, cost=cost)
        models.OutboxMessage.objects.filter(run=run).update(status="delivered", delivered_at=NOW)

    return make


@pytest.fixture
def read(client, make_user):
    def get(*permissions, is_staff=True):
        person = make_user(is_staff=is_staff)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(person)
        return client.get(reverse("mandate-operation-page"))

    return get


def test_failures_are_counted_by_the_time_of_their_end(ended):
    ended("failed", timedelta(minutes=5))
    ended("completed", timedelta(minutes=5))
    ended("cancelled", timedelta(minutes=5))
    ended("failed", timedelta(hours=2))
    ended("failed", timedelta(days=2))

    figures = operation.figures(now=NOW)

    assert figures.last_hour == operation.Ended(completed=1, failed=1, cancelled=1)
    assert (figures.last_hour.failure_rate, round(figures.last_day.failure_rate, 2)) == (0.5, 0.67)


def test_nothing_ended_is_no_rate():
    assert operation.figures(now=NOW).last_hour.failure_rate is None


def test_today_begins_at_midnight_in_the_servers_zone(ended, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    ended("completed", timedelta(hours=20, minutes=59), cost="0.25")
    ended("completed", timedelta(hours=21, minutes=1), cost="0.5")
    ended("completed", timedelta(hours=1))

    figures = operation.figures(now=NOW)

    assert (figures.spent_today, figures.unpriced_today) == (Decimal("0.25"), 1)


def test_what_waits_is_counted_with_the_oldest(start, parked):
    run, (approval,) = parked("a")
    waiting = start()
    dead = models.OutboxMessage.objects.create(topic="other", key="other", status="dead")
    models.OutboxMessage.objects.filter(run=waiting).update(attempts=2)

    figures = operation.figures()

    assert (figures.waiting, figures.running, figures.parked) == (1, 0, 1)
    assert figures.oldest_waiting == models.Run.objects.get(pk=waiting.pk).updated_at
    assert (figures.messages, figures.retried, figures.dead) == (1, 1, 1)
    assert figures.oldest_message == waiting.outbox_messages.get().created_at > run.created_at
    assert (figures.approvals, figures.oldest_approval) == (1, approval.created_at)
    assert figures.next_expiry == approval.expires_at
    assert dead.created_at


def test_figures_take_four_queries_however_much_there_is(start, django_assert_num_queries):
    for _ in range(10):
        runs.cancel(start().pk)

    with django_assert_num_queries(4):
        operation.figures()


def test_the_page_is_for_staff_with_the_permissions(read):
    assert read("view_run", "view_outboxmessage").status_code == 200
    assert read("view_run").status_code == 403
    assert read("view_run", "view_outboxmessage", is_staff=False).status_code == 403


def test_the_page_shows_the_figures(read, ended, start):
    start()
    ended("failed", timedelta(0))

    content = read("view_run", "view_outboxmessage").content.decode()

    assert '?status=pending">1</a>' in content
    assert "Failure rate" in content


def test_who_may_see_it_is_led_there(client, admin_user, user):
    link = f'href="{reverse("mandate-operation-page")}"'
    places = ["mandate-runs-page", "admin:mandate_run_changelist"]

    client.force_login(admin_user)
    assert all(link in client.get(reverse(place)).content.decode() for place in places)
    assert link in client.get(reverse("admin:app_list", args=["mandate"])).content.decode()
    client.force_login(user)
    assert link not in client.get(reverse("mandate-runs-page")).content.decode()
