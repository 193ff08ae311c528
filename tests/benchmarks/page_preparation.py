"""Makes a person with many runs and one without any, both signed in, and counts the queries of their pages."""

import itertools
import uuid
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mandate import models, testing

STATUSES = ("completed", "completed", "failed", "cancelled", "running", "awaiting_approval")
MODELS = ("quick", "thorough", "large")


def prepare(runs: int) -> dict:
    """Return the cookie of each reader, and the number of queries of each one's page."""
    readers = {name: User.objects.create_user(name, password=None) for name in ("full", "empty")}
    _start(runs, by=readers["full"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    browsers = {name: _signed_in(reader) for name, reader in readers.items()}
    return {
        "cookies": {name: _cookie(browser) for name, browser in browsers.items()},
        "queries": {name: _queries(browser) for name, browser in browsers.items()},
    }


def _start(count: int, *, by: User) -> None:
    agent, now = testing.make_agent(), timezone.now()
    kinds = itertools.cycle(itertools.product(STATUSES, MODELS))
    models.Run.objects.bulk_create(
        models.Run(
            agent=agent,
            started_by=by,
            thread_id=uuid.uuid4(),
            input={"topic": "lists" * 50},
            result={"text": "done " * 200},
            status=status,
            model=model,
            created_at=now - timedelta(seconds=number),
            ended_at=now if status in models.run.ENDED else None,
        )
        for number, (status, model) in zip(range(count), kinds, strict=False)
    )


def _signed_in(reader: User) -> Client:
    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(reader)
    return browser


def _cookie(browser: Client) -> str:
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"


def _queries(browser: Client) -> int:
    browser.get(reverse("mandate-runs-page"))  # a process keeps some answers: it asks once
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(reverse("mandate-runs-page"))
    assert answer.status_code == 200, answer.content
    return len(captured)
