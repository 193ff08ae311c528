"""People compare models, and operators look after it all."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def test_a_comparison_leads_from_its_pictures_and_figures_to_a_run(open_page, places):
    reader = open_page()
    reader.page.goto("/agents/runs/")
    reader.page.get_by_role("link", name="Compare").click()
    reader.page.get_by_role("link", name="Two tasks on lists").first.click()

    money = reader.page.get_by_role("img", name="Money")
    expect(money).to_be_visible()
    row = reader.page.get_by_role("row", name="gpt-4.1-mini")
    expect(row).to_contain_text("100%")
    row.get_by_role("link").click()

    expect(reader.page.locator("[data-status=completed]")).to_be_visible()


@pytest.fixture
def operator(open_page):
    """A reader who may look at the admin, which has no icon."""
    reader = open_page()
    yield reader
    reader.complaints[:] = [text for text in reader.complaints if not text.endswith("/favicon.ico")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_have_the_colours_of_the_page(open_page, places, scheme):
    reader = open_page(color_scheme=scheme)
    reader.page.goto(places["comparison"])

    colour = "element => getComputedStyle(element)[element.matches('rect') ? 'fill' : 'color']"
    bar = reader.page.locator(".chart .bar rect").first.evaluate(colour)
    link = reader.page.get_by_role("link", name="CSV").evaluate(colour)

    assert bar == link


def test_an_operator_goes_from_the_admin_to_the_figures_and_back(operator):
    operator.page.goto("/admin/mandate/run/")

    operator.page.get_by_role("link", name="Figures of operation").click()
    expect(operator.page.get_by_role("heading", name="Messages to be delivered")).to_be_visible()
    operator.page.locator("dt", has_text="Given up").locator("xpath=following-sibling::dd").get_by_role(
        "link"
    ).click()

    expect(operator.page).to_have_url("/admin/mandate/outboxmessage/?status__exact=dead")


def test_an_operator_is_asked_again_before_an_agent_is_paused(operator, author, stack):
    operator.page.goto("/admin/mandate/agent/")
    operator.page.get_by_role("row", name="Practice author").get_by_role("checkbox").first.check()
    operator.page.get_by_label("Action:").select_option("Pause: start no run, allow no tool call")
    operator.page.get_by_role("button", name="Run").or_(
        operator.page.get_by_role("button", name="Go")
    ).click()

    expect(operator.page.get_by_text("nobody can start one")).to_be_visible()
    operator.page.get_by_role("link", name="No, take me back").click()

    expect(operator.page).to_have_url("/admin/mandate/agent/")
    assert stack.query("SELECT count(*) FROM mandate_agent WHERE is_paused") == [(0,)]
