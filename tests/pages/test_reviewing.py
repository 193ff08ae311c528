"""People review what agents drafted."""

import pytest
from playwright.sync_api import expect

from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

KIND = "/agents/drafts/practice.task/"

DRAFTED = """
    SELECT DISTINCT link.object_id::int FROM mandate_toolcalllink AS link
    JOIN mandate_toolcall AS call ON call.id = link.tool_call_id
    WHERE call.run_id = %s AND call.tool = 'add_tasks' ORDER BY 1
"""
STANDS = "SELECT title, ai_status, active FROM practice_task WHERE id = %s"
NAME = "UPDATE practice_task SET title = %s WHERE id = %s RETURNING id"
UNVERIFY = "UPDATE practice_task SET verified = false WHERE id = %s RETURNING id"


@pytest.fixture
def drafted(author, stack):
    """Return a function that has drafts made, and gives their run and them."""

    def make(count):
        run_id = author.start(count=count)
        author.wait(run_id, "awaiting_approval")
        return run_id, [task for (task,) in stack.query(DRAFTED, run_id)]

    return make


def refusals_taken(reader, status):
    """Take the refusals that the browser's console shows."""
    assert [status in complaint for complaint in reader.complaints] == [True]
    reader.complaints.clear()


def test_a_draft_is_found_from_its_run_changed_and_published(open_page, drafted, stack):
    run_id, [task] = drafted(1)
    reader = open_page()
    reader.look_at_run(run_id)

    reader.page.locator(".story").get_by_role("link", name="Add up the till").first.click()
    reader.page.get_by_label("Title").fill("Add up the whole till")
    reader.page.get_by_role("button", name="Save, still a draft").click()
    expect(reader.page.get_by_text("Saved; it is still a draft.")).to_be_visible()
    expect(reader.page.locator(".pair ins")).to_have_text(["whole "])
    reader.page.get_by_role("button", name="Publish").click()

    expect(reader.page.get_by_text("Published.")).to_be_visible()
    expect(reader.page.get_by_role("heading", name="Add up the whole till")).to_be_visible()
    assert stack.query(STANDS, task) == [("Add up the whole till", "approved", True)]


def test_a_question_leads_to_the_draft_it_is_about(open_page, drafted, author):
    run_id, [_] = drafted(1)
    [approval] = author.approvals(run_id)
    reader = open_page()
    reader.page.goto(f"/agents/approvals/{approval['approval_id']}/")

    reader.page.locator(".facts").get_by_role("link", name="Add up the till").click()

    expect(reader.page.get_by_role("heading", name="Title, as the agent wrote it")).to_be_visible()


def test_a_draft_is_rejected_with_its_reason(open_page, drafted, stack):
    _, [task] = drafted(1)
    reader = open_page()
    reader.page.goto(f"{KIND}record/{task}/")

    reader.page.get_by_label("Comment").fill("We have three of these.")
    reader.page.get_by_role("button", name="Reject").click()

    expect(reader.page.get_by_text("We have three of these.")).to_be_visible()
    assert stack.query(STANDS, task)[0][1:] == ("rejected", False)


def test_what_is_refused_is_said_and_what_was_written_stays(open_page, drafted, stack):
    _, [task] = drafted(1)
    stack.query(UNVERIFY, task)
    reader = open_page()
    reader.page.goto(f"{KIND}record/{task}/")

    reader.page.get_by_label("Title").fill("Not ready")
    reader.page.get_by_role("button", name="Publish").click()

    expect(reader.page.get_by_role("alert")).to_contain_text("Only a task whose solution passes its tests")
    expect(reader.page.get_by_label("Title")).to_have_value("Not ready")
    assert stack.query(STANDS, task)[0][1:] == ("draft", False)
    refusals_taken(reader, "422")


def test_two_people_who_edit_one_draft_do_not_overwrite_each_other(open_page, drafted, stack):
    _, [task] = drafted(1)
    first, second = open_page("author"), open_page("colleague")
    for reader in (first, second):
        reader.page.goto(f"{KIND}record/{task}/")
    first.page.get_by_label("Title").fill("The first one's")
    first.page.get_by_role("button", name="Save, still a draft").click()
    expect(first.page.get_by_text("Saved; it is still a draft.")).to_be_visible()

    second.page.get_by_label("Title").fill("The second one's")
    second.page.get_by_role("button", name="Publish").click()

    expect(second.page.get_by_role("alert")).to_contain_text("changed while you looked")
    expect(second.page.locator(".marked", has_text="The first one's")).to_be_visible()
    expect(second.page.get_by_label("Title")).to_have_value("The second one's")
    assert stack.query(STANDS, task) == [("The first one's", "draft", False)]
    refusals_taken(second, "422")


def test_several_drafts_are_published_and_each_is_accounted_for(open_page, drafted, stack):
    _, tasks = drafted(3)
    names = [f"Of several {task}" for task in tasks]
    for name, task in zip(names, tasks, strict=True):
        stack.query(NAME, name, task)
    stack.query(UNVERIFY, tasks[2])
    reader = open_page()
    reader.page.goto(f"{KIND}?words=Of several")
    for name in names:
        reader.page.get_by_label(f"Choose {name}", exact=True).check()

    reader.page.get_by_role("button", name="Publish the chosen ones").click()
    expect(reader.page.get_by_role("heading", name="Publish 3 drafts?")).to_be_visible()
    assert reader.barriers() == []
    reader.page.get_by_role("button", name="Publish 3").click()

    expect(reader.page.get_by_role("heading", name="2 published, 1 not")).to_be_visible()
    refused = reader.page.locator(".card", has_text=names[2])
    expect(refused).to_contain_text("Only a task whose solution passes its tests")
    assert reader.barriers() == []
    assert [stack.query(STANDS, task)[0][1:] for task in tasks] == [
        ("approved", True),
        ("approved", True),
        ("draft", False),
    ]


def test_drafts_are_reviewed_without_javascript(open_page, drafted, stack):
    _, [task] = drafted(1)
    reader = open_page(java_script_enabled=False)
    reader.page.goto(f"{KIND}record/{task}/")

    reader.page.get_by_role("button", name="Publish").click()

    expect(reader.page.get_by_text("Published.")).to_be_visible()
    assert stack.query(STANDS, task)[0][1:] == ("approved", True)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "light"}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param(conftest.PHONE, id="phone"),
    ],
)
def test_pages_of_drafts_are_open_to_everybody(open_page, drafted, stack, options):
    _, [open_one, decided] = drafted(2)
    reader = open_page(**options)
    for task, button in ((open_one, "Save, still a draft"), (decided, "Publish")):
        reader.page.goto(f"{KIND}record/{task}/")
        reader.page.get_by_label("Title").fill(f"Another title {task}")
        reader.page.get_by_role("button", name=button).click()
        expect(reader.page.locator(".messages .success")).to_be_visible()

    for page in (KIND, f"{KIND}record/{open_one}/", f"{KIND}record/{decided}/"):
        reader.page.goto(page)
        content, window = reader.width()
        assert (page, reader.barriers()) == (page, [])
        assert content <= window, page
