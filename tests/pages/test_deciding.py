"""People decide what an agent may do."""

import json

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PUBLISHED = """
    SELECT task.id FROM practice_task AS task JOIN mandate_toolcalllink AS link ON link.object_id = task.id::text
    JOIN mandate_toolcall AS call ON call.id = link.tool_call_id
    WHERE call.run_id = %s AND call.tool = 'publish_task' AND task.active
"""

DRAFTED = """
    SELECT link.object_id::int FROM mandate_toolcalllink AS link
    JOIN mandate_toolcall AS call ON call.id = link.tool_call_id
    WHERE call.run_id = %s AND call.tool = 'add_tasks'
"""


@pytest.fixture
def ask(author):
    """Return a function that gives a run that waits for a person, and the address of the question."""

    def start(count=1):
        run_id = author.start(count=count)
        author.wait(run_id, "awaiting_approval")
        [approval] = author.approvals(run_id)
        return run_id, f"/agents/approvals/{approval['approval_id']}/"

    return start


def refusals_taken(reader, status="409"):
    """Take the one refusal that the browser's console shows."""
    [refusal] = reader.complaints
    assert status in refusal
    reader.complaints.clear()


def test_an_approval_goes_from_the_run_to_the_inbox_to_the_end(open_page, ask, stack):
    run_id, question = ask()
    reader = open_page()
    reader.look_at_run(run_id)

    reader.page.get_by_role("link", name="Look and decide").click()
    expect(reader.page).to_have_url(f"{stack.layout.django_url}{question}")
    reader.page.get_by_role("button", name="Approve", exact=True).click()
    expect(reader.page.get_by_text("Approved, and done.")).to_be_visible()

    reader.look_at_run(run_id)
    reader.wait_for_status("completed")
    assert len(stack.query(PUBLISHED, run_id)) == 1


def test_a_rejection_has_its_reason(open_page, ask, author, stack):
    run_id, question = ask()
    reader = open_page()
    reader.page.goto(question)

    reader.page.get_by_label("Comment").fill("Too easy for this lesson.")
    reader.page.get_by_role("button", name="Reject").click()

    expect(reader.page.get_by_text("Rejected.")).to_be_visible()
    expect(reader.page.get_by_text("Too easy for this lesson.")).to_be_visible()
    author.wait(run_id, "completed")
    assert stack.query(PUBLISHED, run_id) == []


def test_an_edit_is_checked_before_it_is_done(open_page, ask, author, stack):
    run_id, question = ask(count=2)
    tasks = {task for (task,) in stack.query(DRAFTED, run_id)}
    reader = open_page()
    reader.page.goto(question)
    reader.page.get_by_text("Change it first").click()
    number = reader.page.get_by_label("Task:")
    other = (tasks - {int(number.input_value())}).pop()

    number.fill("0")
    reader.page.locator("form.decision").evaluate("form => { form.noValidate = true; }")
    reader.page.get_by_role("button", name="Approve as edited").click()
    expect(reader.page.locator(".field .errorlist")).to_be_visible()
    expect(number).to_have_value("0")
    expect(number).to_be_focused()
    assert reader.barriers() == []
    refusals_taken(reader, "422")
    number.fill(str(other))
    reader.page.get_by_role("button", name="Approve as edited").click()

    expect(reader.page.get_by_text("Approved as edited, and done.")).to_be_visible()
    expect(reader.page.get_by_role("heading", name="What the person changed")).to_be_visible()
    assert stack.query(PUBLISHED, run_id) == [(other,)]


def test_an_edit_may_be_written_as_json(open_page, ask, stack):
    run_id, question = ask(count=2)
    tasks = {task for (task,) in stack.query(DRAFTED, run_id)}
    reader = open_page()
    reader.page.goto(question)
    arguments = reader.page.get_by_label("Arguments, as JSON")
    reader.page.get_by_text("Change it first").click()
    reader.page.get_by_text("As JSON", exact=True).click()
    other = (tasks - {json.loads(arguments.input_value())["task_id"]}).pop()

    arguments.fill('{"task_id": "none"}')
    reader.page.get_by_role("button", name="Approve the JSON").click()
    expect(reader.page.locator(".messages .error")).to_contain_text("task_id")
    expect(arguments).to_have_value('{"task_id": "none"}')
    refusals_taken(reader)
    arguments.fill(json.dumps({"task_id": other}))
    reader.page.get_by_role("button", name="Approve the JSON").click()

    expect(reader.page.get_by_text("Approved as edited, and done.")).to_be_visible()
    assert stack.query(PUBLISHED, run_id) == [(other,)]


def test_two_people_who_decide_at_once_see_one_decision(open_page, ask, stack):
    run_id, question = ask()
    readers = [open_page("author"), open_page("colleague")]
    for reader in readers:
        reader.page.goto(question)
    for reader, button in zip(readers, ("approve", "reject"), strict=True):
        reader.page.evaluate(
            "button => setTimeout(() => document.querySelector(`button[value=${button}]`).click(), 300)",
            button,
        )

    told = [reader.page.locator(".messages li") for reader in readers]
    for message in told:
        expect(message).to_be_visible()
    outcomes = ["error" in message.get_attribute("class") for message in told]

    assert sorted(outcomes) == [False, True]
    refusals_taken(readers[outcomes.index(True)])
    shown = {reader.page.locator(".facts .status").inner_text() for reader in readers}
    assert len(shown) == 1
    assert len(stack.query(PUBLISHED, run_id)) == (shown == {"approved"})


def test_a_decision_needs_no_mouse(open_page, ask):
    run_id, question = ask()
    reader = open_page()
    reader.look_at_run(run_id)
    keys = reader.page.keyboard

    reader.tab_to("Look and decide")
    keys.press("Enter")
    reader.page.wait_for_url(f"**{question}")
    reader.tab_to("Comment")
    keys.type("By keyboard.")
    reader.tab_to("Approve")
    keys.press("Enter")

    expect(reader.page.get_by_text("Approved, and done.")).to_be_visible()
    expect(reader.page.get_by_text("By keyboard.")).to_be_visible()


def test_the_inbox_leads_to_what_waits(open_page, ask):
    _, question = ask()
    reader = open_page()

    reader.page.goto("/agents/approvals/")
    reader.page.get_by_label("Agent").select_option("Practice author")
    reader.page.get_by_label("Asked for").fill("author")
    reader.page.get_by_role("button", name="Narrow").click()
    assert reader.barriers() == []
    reader.page.locator(f"a[href='{question}']").click()

    expect(reader.page.get_by_role("button", name="Approve", exact=True)).to_be_visible()


def test_single_keys_lead_through_the_questions(open_page, ask):
    for _ in range(2):
        ask()
    reader = open_page()
    reader.page.goto("/agents/approvals/")
    keys = reader.page.keyboard
    items = reader.page.locator("[data-item]")

    keys.press("j")
    expect(items.nth(0)).to_be_focused()
    keys.press("j")
    expect(items.nth(1)).to_be_focused()
    keys.press("k")
    expect(items.nth(0)).to_be_focused()
    keys.press("e")
    expect(reader.page.get_by_label("Task:")).to_be_focused()
    first = reader.page.get_by_role("heading", level=1).inner_text()
    reader.page.get_by_role("link", name="All questions").focus()
    keys.press("j")
    expect(reader.page.get_by_role("link", name="Previous question")).to_be_visible()
    reader.page.wait_for_load_state()
    keys.press("k")
    expect(reader.page.get_by_role("heading", level=1)).to_have_text(first)


def test_a_decision_takes_two_keys_and_the_list_is_where_it_was_left(open_page, ask, author, stack):
    for _ in range(2):
        ask()
    reader = open_page()
    reader.page.goto("/agents/approvals/")
    keys, items = reader.page.keyboard, reader.page.locator("[data-item]")
    addresses = [item.get_attribute("href") for item in items.all()]
    keys.press("j")
    keys.press("a")

    approve = reader.page.get_by_role("button", name="Approve", exact=True)
    expect(approve).to_be_focused()
    keys.press("r")
    expect(reader.page.get_by_role("button", name="Reject")).to_be_focused()
    keys.press("c")
    keys.type("jar")
    expect(reader.page.get_by_label("Comment")).to_have_value("jar")
    reader.page.get_by_role("button", name="Reject").press("Enter")
    expect(reader.page.get_by_text("Rejected.")).to_be_visible()
    reader.page.get_by_role("link", name="All questions").click()

    after = [address for address in addresses if address != addresses[0]]
    expect(items.nth(0)).to_have_attribute("href", after[0])
    expect(items.nth(0)).to_be_focused()


def test_the_keys_are_explained_and_may_be_switched_off(open_page, ask):
    _, question = ask()
    reader = open_page()
    reader.page.goto(question)
    keys = reader.page.keyboard
    approve = reader.page.get_by_role("button", name="Approve", exact=True)

    keys.press("?")
    expect(reader.page.get_by_text("to “Approve”; Enter then does it")).to_be_visible()
    assert reader.barriers() == []
    reader.page.get_by_label("Single keys work in this browser").uncheck()
    reader.page.reload()
    keys.press("a")
    expect(approve).not_to_be_focused()
    reader.page.get_by_text("Keyboard").click()
    reader.page.get_by_label("Single keys work in this browser").check()
    keys.press("a")

    expect(approve).to_be_focused()
