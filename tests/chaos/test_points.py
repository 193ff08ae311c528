import re

import pytest

from stack import services
from tests.chaos import points

SOURCES = ("agent_service/src", "django_app")
POINT = re.compile(r'crashing\.point\("([a-z_.]+)"\)')


def passed():
    """Return the points of each file; the branches of one step may pass the same."""
    files = [file for source in SOURCES for file in (services.ROOT / source).rglob("*.py")]
    return [name for file in files for name in set(POINT.findall(file.read_text()))]


def test_every_point_of_both_sides_is_in_the_matrix():
    assert sorted(set(passed())) == sorted(points.BY_NAME)


def test_a_point_is_in_one_file_only():
    assert len(passed()) == len(set(passed()))


@pytest.mark.parametrize("side", [points.WORKERS + points.AGENT, points.DJANGO + points.DISPATCHER])
def test_there_are_points_on_both_sides(side):
    assert sum(set(point.processes) <= set(side) for point in points.MATRIX) >= 12
