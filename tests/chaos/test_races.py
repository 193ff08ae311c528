"""A small share of the races; `make chaos` runs five hundred trials of each."""

import pytest

from tests.chaos import races

pytestmark = pytest.mark.django_db(transaction=True)

TRIALS = 12


@pytest.mark.parametrize("race", races.RACES, ids=lambda race: race.__name__)
def test_whoever_is_first_nothing_is_done_twice_or_by_nobodys_leave(race):
    verdict = races.hold(race, trials=TRIALS, seed=1)

    assert verdict.is_clean, verdict
    assert verdict.effects
