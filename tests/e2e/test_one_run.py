"""The main job, through both sides and past a person."""

import pytest

pytestmark = pytest.mark.e2e


def test_a_lesson_becomes_drafted_verified_and_published_tasks(author, stack):
    run_id = author.start(count=3)
    author.wait(run_id, "awaiting_approval")
    (approval,) = author.approvals(run_id)

    decided = author.decide(approval["approval_id"])
    finished = author.wait(run_id, "completed")

    assert decided.status_code == 200, decided.text
    assert approval["tool"] == "publish_task"
    published = stack.query(
        "SELECT id FROM practice_task WHERE active AND id = %s", approval["arguments"]["task_id"]
    )
    assert len(published) == 1
    assert [task["verified"] for task in finished["result"]["tasks"]] == [True, True, True]
    assert finished["usage"][0]["output_tokens"] > 0


def test_a_rejected_task_stays_a_draft_and_the_run_still_ends(author, stack):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    (approval,) = author.approvals(run_id)

    author.decide(approval["approval_id"], "reject", comment="Too easy.")
    author.wait(run_id, "completed")

    assert stack.query(
        "SELECT active FROM practice_task WHERE id = %s", approval["arguments"]["task_id"]
    ) == [(False,)]


def test_a_parked_run_holds_no_live_token(author, stack):
    run_id = author.start(count=1)

    author.wait(run_id, "awaiting_approval")

    live = "SELECT count(*) FROM mandate_toolsession WHERE run_id = %s AND revoked_at IS NULL"
    assert stack.query(live, run_id) == [(0,)]


def test_a_cancelled_run_has_no_effect_any_more(author, stack):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    (approval,) = author.approvals(run_id)

    author.http.post(f"/api/agents/runs/{run_id}/cancel/").raise_for_status()
    late = author.decide(approval["approval_id"])

    assert late.status_code in {403, 409}
    assert author.run(run_id)["status"] == "cancelled"
    assert stack.query(
        "SELECT active FROM practice_task WHERE id = %s", approval["arguments"]["task_id"]
    ) == [(False,)]
