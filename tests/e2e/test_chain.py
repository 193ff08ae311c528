"""Three agents in a row, through both sides."""

import pytest

pytestmark = pytest.mark.e2e

TASKS = "SELECT id, active FROM practice_task WHERE id = ANY(%s) ORDER BY id"


def decide(author, chain, decisions):
    """Answer what a chain asks, the last question first, and wait for the ends of its runs."""
    asking = [step for step in chain["steps"] if step["approvals"]]
    for step, decision in reversed(list(zip(asking, decisions, strict=True))):
        author.decide(*step["approvals"], decision).raise_for_status()
    for step in asking:
        author.wait(step["run_id"], "completed")


def test_a_wrong_test_goes_back_to_its_author_and_the_task_is_solved_in_the_end(author):
    chain = author.follow_chain(author.start_chain(count=2, model="gpt-4.1-hasty"))
    decide(author, chain, ["reject"] * 2)

    steps = [(step["kind"], step["round"]) for step in chain["steps"]]
    assert sorted(steps) == sorted(
        [("conditions", 1)] + [("tests", 1), ("solution", 1)] * 2 + [("tests", 2), ("solution", 2)]
    )
    assert all(step["verified"] for step in chain["steps"] if step["task_id"])


def test_what_three_agents_wrote_is_published_when_a_person_says_so_in_any_order(author, stack):
    asked = author.follow_chain(author.start_chain(count=2))

    decide(author, asked, ["reject", "approve"])

    ended = author.chain(asked["chain_id"])
    assert (asked["status"], ended["status"]) == ("awaiting_approval", "completed")
    shown = {step["task_id"]: step["published"] for step in ended["steps"] if step["kind"] == "solution"}
    assert list(shown.values()) == [False, True]
    assert sorted(shown.items()) == stack.query(TASKS, list(shown))
