"""A small share of the crash matrix; `make chaos` runs every point twenty times."""

import pytest

from tests.chaos import errands, oracle, points, scenarios

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHARE = ("request.after_answer", "checkpoint.before_commit", "approval.before_commit", "call.after_commit")


@pytest.mark.parametrize("name", SHARE)
def test_what_dies_leaves_every_promise_kept(inside, name):
    verdict = scenarios.crash(inside, points.BY_NAME[name], runs=5, seed=1, crashes=2)

    assert verdict.is_clean, verdict
    assert verdict.crashes
    assert verdict.effects >= 5 * 4


def test_the_oracle_sees_what_is_wrong(inside, finished):
    django, (approved, rejected, cancelled) = finished.django, finished.run_ids
    django.execute("DELETE FROM marks_mark WHERE run_id = %s AND name = 'last'", [approved])
    django.execute(
        "INSERT INTO marks_mark (run_id, name, sealed, key)"
        " SELECT run_id, name, sealed, key FROM marks_mark WHERE run_id = %s AND name = 'asked-0'",
        [approved],
    )
    leave = "INSERT INTO marks_mark (run_id, name, sealed, key) VALUES (%s, %s, %s, 'forged')"
    django.execute(leave, [rejected, "sealed", True])
    django.execute(leave, [cancelled, "late", False])

    seen = oracle.judge(oracle.Verdict(scenario="forged", seed=0), finished)

    assert (seen.lost, seen.duplicated, seen.unapproved, seen.after_cancel) == (1, 3, 1, 1)


@pytest.fixture
def finished(inside):
    """Three runs that are over: one approved, one rejected, one cancelled."""
    people = [
        errands.Errand(ending=ending, is_eager=False, cancel_after=0.0)
        for ending in ("approve", "reject", "cancel")
    ]
    with errands.crowd(inside, people) as crowd:
        scenarios.see_through(inside, crowd)
        yield crowd
