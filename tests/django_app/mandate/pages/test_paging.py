import pytest
from django.contrib.auth.models import Group
from django.template.loader import render_to_string

from mandate.pages import paging

pytestmark = pytest.mark.django_db


@pytest.fixture
def page():
    """Returns the page of a number, of so many groups, ten on a page."""

    def of(asked, *, rows):
        Group.objects.bulk_create(Group(name=f"group {number:05}") for number in range(rows))
        return paging.Page.of(Group.objects.order_by("name"), asked, size=10)

    return of


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        pytest.param(None, 1, id="none"),
        pytest.param("2", 2, id="a page"),
        pytest.param("99", 3, id="beyond the last"),
        pytest.param("0", 1, id="before the first"),
        pytest.param("-1", 1, id="negative"),
        pytest.param("x", 1, id="no number"),
        pytest.param("9" * 30, 1, id="more than there can be"),
    ],
)
def test_the_nearest_page_is_shown(page, asked, number):
    assert page(asked, rows=25).number == number


def test_a_list_is_shown_to_its_end(page):
    last = page("3", rows=25)

    assert [group.name for group in last] == [f"group {number:05}" for number in range(20, 25)]
    assert (last.count, last.pages, last.has_next, last.has_previous) == ("25", 3, False, True)


def test_an_empty_list_has_one_page(page):
    only = page(None, rows=0)

    assert (list(only), only.number, only.has_other_pages) == ([], 1, False)


def test_a_long_list_is_counted_to_a_bound_and_shown_beyond_it(page):
    beyond = page("105", rows=paging.MOST_COUNTED + 60)

    assert (beyond.count, beyond.pages) == ("more than 1,000", None)
    assert (beyond.object_list[0].name, beyond.has_next) == ("group 01040", True)
    assert "Page 105</span>" in render_to_string("mandate/paging.html", {"page": beyond})


def test_beyond_the_end_of_a_long_list_there_is_nothing(page):
    beyond = page("5000", rows=paging.MOST_COUNTED + 1)

    assert (list(beyond), beyond.has_next, beyond.has_previous) == ([], False, True)
