"""Pictures of every page, for the documents: `make screenshots` runs this as a test of its own."""

import pytest
from playwright.sync_api import expect

from stack import services
from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FOLDER = services.ROOT / "docs" / "screenshots"
ADMIN = {
    "admin-runs": lambda reader: reader.page.goto("/admin/mandate/run/"),
    "admin-agent": lambda reader: _open_first(reader, "agent"),
    "admin-revoke": lambda reader: _ask_again(reader, "run", "revoke"),
}
"""The most telling of the admin's pages, and how they are come to."""

WINDOW = {"width": 1100, "height": 760}


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        pytest.param("", {"viewport": WINDOW}, id="light"),
        pytest.param("-dark", {"viewport": WINDOW, "color_scheme": "dark"}, id="dark"),
        pytest.param("-phone", conftest.PHONE, id="phone"),
    ],
)
def test_every_page_has_its_picture(open_page, places, suffix, options):
    FOLDER.mkdir(exist_ok=True)
    reader = open_page(locale="en-GB", **options)

    for name, address in places.items():
        reader.page.goto(address)
        if name in {"run", "waiting"}:
            expect(reader.page.locator("#model")).to_contain_text("reason")
        reader.page.screenshot(path=FOLDER / f"{name}{suffix}.png", full_page=name == "comparison")
    for name, show in ADMIN.items():
        show(reader)
        reader.page.screenshot(path=FOLDER / f"{name}{suffix}.png")

    assert all((FOLDER / f"{name}{suffix}.png").stat().st_size for name in [*places, *ADMIN])
    reader.complaints[:] = [text for text in reader.complaints if not text.endswith("/favicon.ico")]


def _open_first(reader, name):
    reader.page.goto(f"/admin/mandate/{name}/")
    reader.page.goto(reader.page.locator("#result_list tbody th a").first.get_attribute("href"))


def _ask_again(reader, name, action):
    reader.choose(name, action)
    expect(reader.page.get_by_role("link", name="No, take me back")).to_be_visible()
