"""What holds for every page."""

import re

import pytest
from playwright.sync_api import expect

from mandate import urls
from mandate.pages import safety
from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ACTIONS = {"mandate-run-cancel-page", "mandate-run-resume-page", "mandate-drafts-publish-page"}
"""Addresses that are sent to, not looked at; `mandate-first-drafts-page` leads on to the first list of drafts."""


def test_no_page_is_forgotten(places):
    named = {entry.name: entry.pattern for entry in urls.urlpatterns if (entry.name or "").endswith("-page")}

    forgotten = {
        name
        for name, pattern in named.items()
        if name not in ACTIONS | {"mandate-first-drafts-page"}
        and not any(pattern.match(address.removeprefix("/")) for address in places.values())
    }

    assert forgotten == set()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "light"}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param(conftest.PHONE, id="phone"),
    ],
)
def test_every_page_is_open_to_everybody(open_page, places, options):
    reader = open_page(**options)

    for name, address in places.items():
        answer = reader.page.goto(address)
        if name in {"run", "waiting"}:
            expect(reader.page.locator("#model")).to_contain_text("reason")
        content, window = reader.width()
        assert (name, answer.status) == (name, 200)
        assert (name, answer.headers["content-security-policy"]) == (name, safety.POLICY)
        assert (name, reader.barriers()) == (name, [])
        assert content <= window, name


def test_every_time_is_the_readers_own(open_page, places):
    reader = open_page(timezone_id="Asia/Tokyo", locale="en-GB")

    for name, address in places.items():
        reader.page.goto(address)
        shown = reader.page.locator("time").all_inner_texts()
        assert (name, [text for text in shown if "UTC" in text]) == (name, [])
        assert (name, [text for text in shown if not re.search(r"\d{2}:\d{2}:\d{2}", text)]) == (name, [])
