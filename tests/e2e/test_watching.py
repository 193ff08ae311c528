"""Many people watch runs at once."""

import asyncio
import os
import re
import secrets

import httpx
import pytest

from tests.e2e import watching

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

RUNS = int(os.environ.get("WATCHED_RUNS", "4"))
"""20 in `make chaos`: two hundred pages."""

PAGES_OF_EACH = 10
PASSWORD = secrets.token_urlsafe()


@pytest.fixture(scope="module")
def cookie(stack):
    """Of somebody who has signed in as people do, and may see all runs."""
    stack.manage(
        "createsuperuser",
        "--noinput",
        DJANGO_SUPERUSER_USERNAME="watcher",
        DJANGO_SUPERUSER_EMAIL="watcher@example.org",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    with httpx.Client(base_url=stack.layout.django_url, timeout=60) as http:
        form = http.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[1]
        given = {"username": "watcher", "password": PASSWORD, "csrfmiddlewaretoken": token}
        assert http.post("/admin/login/", data=given).status_code == httpx.codes.FOUND
        return "; ".join(f"{name}={value}" for name, value in http.cookies.items())


@pytest.fixture
def slow_model(stack):
    url = f"{stack.model_url}/control"
    httpx.post(url, json={"chunk_delay": 0.1}).raise_for_status()
    yield
    httpx.post(url, json={"chunk_delay": 0}).raise_for_status()


async def test_pages_that_watch_at_once_miss_nothing(stack, author, cookie, slow_model):
    run_ids = [author.start(count=1) for _ in range(RUNS)]

    def page_of(run_id):
        return watching.Page(port=stack.layout.django_port, cookie=cookie, run_id=run_id)

    pages = [page_of(run_id) for run_id in run_ids for _ in range(PAGES_OF_EACH)]
    async with asyncio.TaskGroup() as looking:
        for page in pages:
            looking.create_task(page.watch())
        looking.create_task(asyncio.to_thread(decide_all, author, run_ids))
    late = {run_id: page_of(run_id) for run_id in run_ids}
    for page in late.values():
        await page.watch()

    assert {page.shown for page in pages} == {"completed"}
    for page in pages:
        assert page.events == late[page.run_id].events
        ids = [event_id for event_id, _ in page.events]
        assert len(ids) == len(set(ids)) > 20


def decide_all(author, run_ids):
    for run_id in run_ids:
        author.wait(run_id, "awaiting_approval")
        for approval in author.approvals(run_id):
            author.decide(approval["approval_id"]).raise_for_status()
