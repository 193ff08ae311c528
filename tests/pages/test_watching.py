"""People watch runs work."""

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TITLE = "Add up the till"
"""Of the first task that the scripted model drafts."""


def told(reader):
    """What was written, without what marks a message that was begun again."""
    return reader.page.locator("#model li:not(.again)").all_inner_texts()


def test_what_a_model_writes_appears_piece_by_piece(open_page, author, hurry):
    reader = open_page()
    reader.look_at_run(author.start(count=1))

    drafted = reader.page.locator("#model .arguments").first
    expect(drafted).to_contain_text("module_id")
    early = drafted.inner_text()
    hurry()

    reader.wait_for_status("awaiting_approval")
    whole = drafted.inner_text()
    assert whole.startswith(early)
    assert len(whole) > len(early)
    assert TITLE in whole


def test_a_reload_in_the_middle_loses_and_doubles_nothing(open_page, author, hurry):
    run_id = author.start(count=1)
    staying, reloading = open_page(), open_page()
    staying.look_at_run(run_id)
    reloading.look_at_run(run_id)

    expect(reloading.page.locator("#model .arguments").first).to_contain_text("module_id")
    reloading.page.reload()
    hurry()

    for reader in (staying, reloading):
        reader.wait_for_status("awaiting_approval")
        expect(reader.page.locator("#model")).to_contain_text("reason")
    assert staying.written() == reloading.written()
    assert len(staying.written()) == len(set(staying.written()))
    assert staying.story() == reloading.story()


def test_a_worker_killed_while_a_page_watches_is_seen_and_got_over(open_page, author, stack, hurry):
    reader = open_page()
    reader.look_at_run(author.start(count=1))
    expect(reader.page.locator("#model .arguments").first).to_contain_text("module_id")

    stack.kill("worker")
    hurry()
    stack.start("worker")

    reader.wait_for_status("awaiting_approval")
    cut_off = reader.page.locator("#model li.again")
    expect(cut_off).to_have_count(1)
    expect(cut_off).to_contain_text("Cut off here; it is written again.")
    assert sum("Calls add_tasks" in message for message in told(reader)) == 1
    assert reader.story().count("Calls add_tasks") == 1
    expect(reader.page.get_by_text("It took over from another one.")).to_be_visible()


def test_the_list_tells_how_runs_stand_without_a_reload(open_page, author, hurry):
    run_id = author.start(count=1)
    reader = open_page()
    reader.page.goto("/agents/runs/")
    status = reader.page.locator(f"[id='run-{run_id}'] .status")
    expect(status).to_have_text("running")
    reader.page.evaluate("window.kept = true")

    hurry()

    expect(status).to_have_text("awaiting approval")
    assert reader.page.evaluate("window.kept")


def test_a_page_outlives_its_server(open_page, author, stack):
    reader = open_page()
    run_id = author.start(count=1)
    reader.look_at_run(run_id)
    reader.wait_for_status("awaiting_approval")

    stack.kill("django")
    stack.start("django")
    author.http.post(f"/api/agents/runs/{run_id}/cancel/").raise_for_status()

    reader.wait_for_status("cancelled")
    refused = [complaint for complaint in reader.complaints if "ERR_" not in complaint]
    reader.complaints[:] = refused


def test_a_finished_run_still_shows_what_the_model_wrote(open_page, author):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    author.http.post(f"/api/agents/runs/{run_id}/cancel/").raise_for_status()
    reader = open_page()

    reader.look_at_run(run_id)

    reader.wait_for_status("cancelled")
    expect(reader.page.locator("#model")).to_contain_text(TITLE)


def test_without_javascript_a_reload_shows_all_that_happened(open_page, author, hurry):
    run_id = author.start(count=1)
    reader = open_page(java_script_enabled=False)
    reader.look_at_run(run_id)
    reader.page.wait_for_url("**/?written")
    hurry()
    author.wait(run_id, "awaiting_approval")

    reader.page.get_by_role("link", name="See how far it is now").click()

    expect(reader.page.locator(".facts .status")).to_have_text("awaiting approval")
    assert reader.story()[0] == "Started"
    assert "Calls add_tasks" in reader.story()
    expect(reader.page.locator("#model .arguments").first).to_contain_text(TITLE)
    reader.page.get_by_role("link", name="Look and decide").click()
    reader.page.get_by_role("button", name="Reject").click()
    expect(reader.page.get_by_text("Rejected.")).to_be_visible()


def test_with_and_without_javascript_the_same_is_shown(open_page, author):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    with_it, without_it = open_page(), open_page(java_script_enabled=False)

    for reader in (with_it, without_it):
        reader.page.goto(f"/agents/runs/{run_id}/?written")
        expect(reader.page.locator("#model")).to_contain_text("reason")

    expect(with_it.page.locator("#model li")).to_have_count(len(without_it.written()))
    assert with_it.written() == without_it.written()
    assert with_it.barriers() == []


def test_a_failed_run_says_what_to_do_and_marks_what_was_done_again(open_page, author, faulty_model):
    faulty_model({"kind": "status", "status": 400})
    run_id = author.start(count=1)
    author.wait(run_id, "failed")
    reader = open_page()
    reader.look_at_run(run_id)
    expect(reader.page.locator(".notice.bad")).to_contain_text("model_failed")
    expect(reader.page.locator(".notice.bad")).to_contain_text("let the run go on")
    assert reader.barriers() == []

    reader.page.get_by_role("button", name="Let it go on").click()

    reader.wait_for_status("awaiting_approval")
    resumed = reader.page.locator(".story li", has=reader.page.get_by_text("Resumed", exact=True))
    expect(resumed.locator(".mark")).to_have_text("retry")


def test_an_attempt_that_is_made_again_is_noted_with_and_without_javascript(open_page, author, faulty_model):
    faulty_model({"kind": "cut"})
    run_id = author.start(count=1)
    with_it, without_it = open_page(), open_page(java_script_enabled=False)
    with_it.look_at_run(run_id)
    with_it.wait_for_status("awaiting_approval")
    without_it.page.goto(f"/agents/runs/{run_id}/?written")

    for reader in (with_it, without_it):
        again = reader.page.locator("#model li.again")
        expect(again.filter(has_text="Attempt 1 failed and is made again")).to_have_count(1)
        expect(again.filter(has_text="Cut off here; it is written again.")).to_have_count(1)
    assert with_it.written() == without_it.written()


def test_times_are_the_readers_own(open_page, author):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    zones = ("Asia/Tokyo", "America/New_York")
    readers = [open_page(timezone_id=zone, locale="en-GB") for zone in zones]

    for reader in readers:
        reader.look_at_run(run_id)
    shown = {reader.page.locator(".facts time").first.inner_text() for reader in readers}

    assert len(shown) == len(zones)
    assert "UTC" not in "".join(shown)


def test_the_page_of_what_is_not_there_says_so(open_page):
    reader = open_page()

    answer = reader.page.goto("/agents/runs/00000000-0000-0000-0000-000000000000/")

    assert answer.status == httpx.codes.NOT_FOUND
    reader.complaints.clear()
