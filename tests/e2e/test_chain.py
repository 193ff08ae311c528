"""Three agents in a row, through both sides."""

import pytest

pytestmark = pytest.mark.e2e


def follow(author, chain):
    """Wait for the end of each run of a chain as it comes, and return the chain."""
    followed = set()
    while waiting := {step["run_id"] for step in chain["steps"]} - followed:
        for run_id in waiting:
            author.wait(run_id, "completed")
        followed |= waiting
        chain = author.http.get(f"/api/practice/chains/{chain['chain_id']}/").raise_for_status().json()
    return chain


def test_a_wrong_test_goes_back_to_its_author_and_the_task_is_solved_in_the_end(author):
    body = {"module_id": 1, "student_id": 1, "count": 2, "model": "gpt-4.1-hasty"}
    started = author.http.post("/api/practice/chains/", json=body).raise_for_status().json()

    chain = follow(author, started)

    steps = [(step["kind"], step["round"]) for step in chain["steps"]]
    assert sorted(steps) == sorted(
        [("conditions", 1)] + [("tests", 1), ("solution", 1)] * 2 + [("tests", 2), ("solution", 2)]
    )
    assert all(step["verified"] for step in chain["steps"] if step["task_id"])
