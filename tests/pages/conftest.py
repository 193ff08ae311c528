"""A person at a real browser, before both sides as processes with the scripted model."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright import sync_api

from shared_schemas import keys
from stack import processes, services
from tests.e2e import conftest as e2e
from tests.e2e import person, proxy
from tests.pages import browsers, reader
from tests.pages import places as everything

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
PATIENCE = 60_000
"""Milliseconds, on a busy machine."""

PASSWORD = secrets.token_urlsafe()

Open = Callable[..., reader.Reader]


@pytest.fixture(scope="session")
def browser_path() -> str:
    try:
        return browsers.find()
    except browsers.NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def stack(browser_path, make_database, tmp_path_factory) -> Iterator[e2e.Stack]:
    layout = services.Layout(
        database_url=make_database(),
        agent_database_url=make_database(),
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=processes.free_port(),
        secrets=services.Secrets(
            django_secret_key=secrets.token_urlsafe(50),
            django_signing_key=keys.generate(),
            agent_signing_key=keys.generate(),
        ),
        agent_options=e2e.QUICK,
    )
    passing = proxy.Proxy(layout.django_port)
    passing.start()
    made = e2e.Stack(layout=layout, log_folder=tmp_path_factory.mktemp("logs"), proxy=passing, running={})
    with contextlib.ExitStack() as undo:
        undo.callback(passing.stop)
        undo.callback(lambda: processes.stop(*made.running.values()))
        _prepare(made)
        for name in ("model", "django", "dispatcher", "agent", "worker"):
            made.start(name)
        yield made


@pytest.fixture
def author(stack) -> Iterator[person.Person]:
    """The person at the browser, over REST."""
    with httpx.Client(base_url=stack.layout.django_url, timeout=60) as http:
        http.headers["Authorization"] = f"Token {stack.person_token}"
        yield person.Person(http=http)


@pytest.fixture(scope="package")
def places(stack) -> dict[str, str]:
    """The addresses of every page, with something on it, by the names of their pictures."""
    with httpx.Client(base_url=stack.layout.django_url, timeout=60) as http:
        http.headers["Authorization"] = f"Token {stack.person_token}"
        return everything.prepare(stack, person.Person(http=http))


@pytest.fixture
def hurry(stack) -> Iterator[Callable[[], None]]:
    """Have the model take three seconds for every piece it writes, until what this gives is called."""

    def take(seconds: float) -> None:
        httpx.post(f"{stack.model_url}/control", json={"chunk_delay": seconds}).raise_for_status()

    take(3)
    yield lambda: take(0)
    take(0)


@pytest.fixture
def faulty_model(stack) -> Iterator[Callable[..., None]]:
    """Have the model's next answers go wrong."""

    def fail(*faults: dict[str, Any]) -> None:
        httpx.post(f"{stack.model_url}/control", json={"faults": faults}).raise_for_status()

    yield fail
    fail()


@pytest.fixture
def browser(browser_path) -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=PATIENCE)
        opened = playwright.chromium.launch(executable_path=browser_path)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def signed_in() -> dict[str, sync_api.StorageState]:
    """Who has signed in before, with their cookies."""
    return {}


@pytest.fixture
def open_page(stack, browser, signed_in) -> Iterator[Open]:
    """Return a function that opens a browser of a person's own; whatever it complains of fails the test."""
    readers: list[reader.Reader] = []

    def open_for(login: str = "author", **options) -> reader.Reader:
        if login not in signed_in:
            signed_in[login] = _sign_in(browser, stack.layout.django_url, login)
        context = browser.new_context(
            base_url=stack.layout.django_url, storage_state=signed_in[login], **options
        )
        context.set_default_timeout(PATIENCE)
        readers.append(reader.Reader(page=context.new_page()))
        return readers[-1]

    yield open_for
    complaints = [complaint for opened in readers for complaint in opened.complaints]
    for opened in readers:
        opened.page.context.close()
    assert complaints == []


def _sign_in(browser: sync_api.Browser, url: str, login: str) -> sync_api.StorageState:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/agents/runs/", timeout=PATIENCE)
    page.get_by_label("Username").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for(timeout=PATIENCE)
    kept = context.storage_state()
    context.close()
    return kept


def _prepare(stack: e2e.Stack) -> None:
    stack.migrate_agent()
    stack.manage("migrate", "--verbosity", "0")
    stack.manage("load_lessons")
    for login in ("author", "colleague"):
        stack.manage(
            "createsuperuser",
            "--noinput",
            DJANGO_SUPERUSER_USERNAME=login,
            DJANGO_SUPERUSER_EMAIL=f"{login}@example.org",
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )
    stack.person_token = stack.manage("drf_create_token", "author").split()[2]
