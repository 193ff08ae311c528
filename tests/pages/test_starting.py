"""People start runs."""

import pytest
from playwright.sync_api import expect

from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODELS = ["gpt-4.1-mini", "gpt-4.1"]
KEEP = """
    INSERT INTO mandate_cataloguemodel (name, provider, base_url, fallback, enabled, use_responses_api)
    VALUES (%s, 'openai', '', '', true, false) RETURNING name
"""
FORGET = "DELETE FROM mandate_cataloguemodel RETURNING name"
COMPARED = "SELECT model, id FROM mandate_run WHERE comparison_id = (SELECT max(id) FROM mandate_comparison)"
COST = """
    UPDATE mandate_run SET cost = CASE WHEN id = %s THEN 0.03 END
    WHERE agent_id = (SELECT id FROM mandate_agent WHERE slug = 'practice-author') RETURNING id
"""


@pytest.fixture
def catalogue(stack):
    for name in MODELS:
        stack.query(KEEP, name)
    yield
    stack.query(FORGET)


@pytest.fixture
def costs(stack):
    """Gives the runs of other tests back what they cost."""
    before = stack.query("SELECT cost, id FROM mandate_run")
    yield
    for cost, run_id in before:
        stack.query("UPDATE mandate_run SET cost = %s WHERE id = %s RETURNING id", cost, run_id)


@pytest.fixture
def form(open_page):
    """A reader before the form, which asks for a task of the first lesson."""
    reader = open_page()
    reader.page.goto("/agents/")
    reader.page.get_by_role("main").get_by_role("link", name="Practice author").click()
    reader.page.get_by_label("Lesson").select_option("Lists and loops")
    reader.page.get_by_label("Number of tasks").fill("1")
    return reader


def test_a_run_is_started_from_a_form_and_watched(form):
    assert form.barriers() == []

    form.page.get_by_role("button", name="Start").click()

    form.wait_for_status("awaiting_approval")
    expect(form.page.locator("#model")).to_contain_text("Add up the till")


def test_a_refused_input_is_shown_at_its_field(form):
    form.page.locator("form.start").evaluate("form => { form.noValidate = true; }")
    form.page.get_by_label("Number of tasks").fill("99")

    form.page.get_by_role("button", name="Start").click()

    at_count = form.page.locator(".field", has=form.page.get_by_label("Number of tasks"))
    expect(at_count.locator(".errorlist")).to_be_visible()
    expect(form.page.get_by_label("Number of tasks")).to_have_value("99")
    assert form.barriers() == []
    [refusal] = form.complaints
    assert "422" in refusal
    form.complaints.clear()


def test_several_models_are_compared(catalogue, form, author, stack):
    form.page.reload()
    form.page.get_by_label("Lesson").select_option("Lists and loops")
    for name in MODELS:
        form.page.locator(f"input[value='{name}']").check()
    assert form.barriers() == []

    form.page.get_by_role("button", name="Start").click()

    expect(form.page.get_by_text("2 runs are started, one for each model.")).to_be_visible()
    started = dict(stack.query(COMPARED))
    assert sorted(started) == sorted(MODELS)
    # A run that goes on would take the fault that another test has the model make.
    for run_id in started.values():
        author.wait(str(run_id), "awaiting_approval")


def test_the_estimate_follows_what_is_filled_in(catalogue, costs, open_page, author, stack):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    [approval] = author.approvals(run_id)
    author.decide(approval["approval_id"]).raise_for_status()
    author.wait(run_id, "completed")
    stack.query(COST, run_id)
    reader = open_page()
    reader.page.goto("/agents/practice-author/start/")
    estimate = reader.page.locator("#estimate")

    expect(estimate).to_have_text("about 0.0900")
    reader.page.get_by_label("Number of tasks").fill("4")
    expect(estimate).to_have_text("about 0.1200")
    expect(reader.page.locator("#unknown")).to_be_hidden()
    reader.page.locator("input[value='gpt-4.1']").check()
    expect(reader.page.locator("#unknown")).to_contain_text("of gpt-4.1 nobody knows yet")
    reader.page.locator("input[value='gpt-4.1-mini']").uncheck()

    expect(estimate).to_have_text("not known")
    assert reader.barriers() == []


def test_three_agents_in_a_row_are_started_and_seen_to_the_end(open_page):
    reader = open_page()
    reader.page.goto("/agents/")
    reader.page.get_by_role("link", name="Have a lesson's tasks written by three agents").click()
    reader.page.get_by_label("Lesson").select_option("Lists and loops")
    reader.page.get_by_label("Number of tasks").fill("1")
    assert reader.barriers() == []

    reader.page.get_by_role("button", name="Start").click()

    expect(reader.page.get_by_role("heading", name="Lists and loops, 1 task")).to_be_visible()
    facts, solution = reader.page.locator("dl.facts"), reader.page.get_by_role("row", name="solution")
    reader.page.evaluate("window.kept = true")
    expect(facts).to_contain_text("awaiting approval")
    expect(solution.locator(".approved")).to_have_text("passed")
    expect(reader.page.get_by_role("link", name="Look and decide")).to_be_visible()
    assert reader.page.evaluate("window.kept")
    assert reader.barriers() == []

    reader.page.get_by_role("link", name="Look and decide").click()
    reader.page.get_by_role("button", name="Approve", exact=True).click()
    expect(reader.page.get_by_text("Approved, and done.")).to_be_visible()
    reader.page.goto("/practice/chains/")
    reader.page.get_by_role("main").get_by_role("link", name="Lists and loops, 1 task").first.click()

    expect(facts).to_contain_text("completed")
    expect(solution.locator(".approved")).to_have_text("published")
    expect(reader.page.locator("[id='chain-waiting'] .notice")).to_have_count(0)


def test_without_javascript_a_reload_shows_how_far_the_agents_are(open_page):
    reader = open_page(java_script_enabled=False)
    reader.page.goto("/practice/chains/")
    reader.page.get_by_label("Lesson").select_option("Lists and loops")
    reader.page.get_by_label("Number of tasks").fill("1")
    reader.page.get_by_role("button", name="Start").click()
    again = reader.page.get_by_role("link", name="See how far they are now")
    facts = reader.page.locator("dl.facts")

    while "awaiting approval" not in facts.inner_text():
        again.click()

    expect(reader.page.get_by_role("link", name="Look and decide")).to_be_visible()
    expect(reader.page.locator("#chain-steps tbody tr")).to_have_count(3)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "light"}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param(conftest.PHONE, id="phone"),
    ],
)
def test_pages_that_start_are_open_to_everybody(open_page, catalogue, options):
    reader = open_page(**options)

    for page in ("/agents/", "/agents/practice-author/start/", "/practice/chains/"):
        reader.page.goto(page)
        content, window = reader.width()
        assert (page, reader.barriers()) == (page, [])
        assert content <= window, page
