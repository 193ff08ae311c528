"""People start runs."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODELS = ["gpt-4.1-mini", "gpt-4.1"]
KEEP = """
    INSERT INTO mandate_cataloguemodel (name, provider, base_url, fallback, enabled)
    VALUES (%s, 'openai', '', '', true) RETURNING name
"""
FORGET = "DELETE FROM mandate_cataloguemodel RETURNING name"
COMPARED = "SELECT model FROM mandate_run WHERE comparison_id = (SELECT max(id) FROM mandate_comparison)"


@pytest.fixture
def catalogue(stack):
    for name in MODELS:
        stack.query(KEEP, name)
    yield
    stack.query(FORGET)


@pytest.fixture
def form(open_page):
    """A reader before the form, which asks for a task of the first lesson."""
    reader = open_page()
    reader.page.goto("/agents/")
    reader.page.get_by_role("main").get_by_role("link", name="Practice author").click()
    reader.page.get_by_label("Module").select_option("Lists and loops")
    reader.page.get_by_label("Count").fill("1")
    return reader


def test_a_run_is_started_from_a_form_and_watched(form):
    assert form.barriers() == []

    form.page.get_by_role("button", name="Start").click()

    form.wait_for_status("awaiting_approval")
    expect(form.page.locator("#model")).to_contain_text("Add up the till")


def test_a_refused_input_is_shown_at_its_field(form):
    form.page.locator("form.start").evaluate("form => { form.noValidate = true; }")
    form.page.get_by_label("Count").fill("99")

    form.page.get_by_role("button", name="Start").click()

    at_count = form.page.locator(".field", has=form.page.get_by_label("Count"))
    expect(at_count.locator(".errorlist")).to_be_visible()
    expect(form.page.get_by_label("Count")).to_have_value("99")
    assert form.barriers() == []
    [refusal] = form.complaints
    assert "422" in refusal
    form.complaints.clear()


def test_several_models_are_compared(catalogue, form, stack):
    form.page.reload()
    form.page.get_by_label("Module").select_option("Lists and loops")
    for name in MODELS:
        form.page.get_by_label(name, exact=True).check()
    assert form.barriers() == []

    form.page.get_by_role("button", name="Start").click()

    expect(form.page.get_by_text("2 runs are started, one for each model.")).to_be_visible()
    assert sorted(stack.query(COMPARED)) == sorted((name,) for name in MODELS)
