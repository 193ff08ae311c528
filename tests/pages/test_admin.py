"""Operators at the admin: what is ours there, and Django's pages with our rows on them."""

import pytest
from playwright.sync_api import expect

from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

LISTS = (
    "agent",
    "approval",
    "cataloguemodel",
    "checkpoint",
    "comparison",
    "draftreview",
    "modelusage",
    "outboxmessage",
    "run",
    "runnote",
    "toolcall",
    "toolcalllink",
    "toolresult",
    "toolsession",
    "toolswitch",
    "webhookreceipt",
)

ASKED_AGAIN = (
    ("agent", "pause"),
    ("agent", "let_work"),
    ("toolswitch", "pause"),
    ("toolswitch", "let_work"),
    ("run", "cancel"),
    ("run", "resume"),
    ("run", "raise_limits"),
    ("run", "revoke"),
    ("toolcall", "undo"),
    ("outboxmessage", "redeliver"),
)

DJANGOS = {
    "link-in-text-block": ".breadcrumbs, #changelist-search",
    "target-size": "#changelist-filter",
    "empty-table-header": ".inline-group thead",
    "scrollable-region-focusable": ".inline-group",
}
"""What Django's own parts of the admin fail, and where: links that only their colour tells from the text round
them, filters that stand close, columns of inlines without a heading, and inlines that scroll and take no focus."""

SHOWN = ("agent", "run", "approval")
"""Of the lists, those that are looked at in every form; colours and widths of the others are the same."""

SWITCH = """
    INSERT INTO mandate_toolswitch (tool, is_paused, reason, changed_at)
    VALUES ('publish_task', false, 'Exams.', now()) RETURNING tool
"""
FORGET = "DELETE FROM mandate_toolswitch RETURNING tool"


@pytest.fixture
def switch(stack):
    stack.query(SWITCH)
    yield
    stack.query(FORGET)


@pytest.fixture
def open_admin(open_page, places, switch):
    """Opens a reader who may look at the admin, which has no icon."""
    readers = []

    def open_for(**options):
        readers.append(open_page(**options))
        return readers[-1]

    yield open_for
    for reader in readers:
        reader.complaints[:] = [text for text in reader.complaints if not text.endswith("/favicon.ico")]


@pytest.mark.parametrize(
    ("names", "options"),
    [
        pytest.param(LISTS, {"color_scheme": "light"}, id="light"),
        pytest.param(SHOWN, {"color_scheme": "dark"}, id="dark"),
        pytest.param(SHOWN, conftest.PHONE, id="phone"),
    ],
)
def test_lists_and_forms_are_open_to_everybody(open_admin, names, options):
    operator = open_admin(**options)

    for name in names:
        operator.page.goto(f"/admin/mandate/{name}/")
        assert (name, operator.barriers(DJANGOS)) == (name, [])
        row = operator.page.locator("#result_list tbody th a")
        if row.count():
            operator.page.goto(row.first.get_attribute("href"))
            assert (f"a {name}", operator.barriers(DJANGOS)) == (f"a {name}", [])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "light"}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param(conftest.PHONE, id="phone"),
    ],
)
def test_what_asks_again_is_open_to_everybody(open_admin, options):
    operator = open_admin(**options)

    for name, action in ASKED_AGAIN:
        operator.choose(name, action)
        expect(operator.page.get_by_role("link", name="No, take me back")).to_be_visible()
        content, window = operator.width()
        assert (action, operator.barriers(DJANGOS)) == (action, [])
        assert content <= window, action
