import pytest

from mandate.selectors import changes


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({"a": 1}, {"a": 1.0}, [("changed", "/a", 1, 1.0)], id="another kind of number"),
        pytest.param({"a": True}, {"a": 1}, [("changed", "/a", True, 1)], id="a truth is no number"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, [("removed", "/a/c", 2, None)], id="deep"),
        pytest.param([1, 2], [1, 3, 4], [("changed", "/1", 2, 3), ("added", "/2", None, 4)], id="lists"),
        pytest.param({"a": [1]}, {"a": {"0": 1}}, [("changed", "/a", [1], {"0": 1})], id="another shape"),
        pytest.param({"a/b~": 1}, {"a/b~": 2}, [("changed", "/a~1b~0", 1, 2)], id="an odd name"),
    ],
)
def test_the_places_that_differ_are_named(before, after, found):
    told = changes.between(before, after)

    assert [(change.kind, change.pointer, change.before, change.after) for change in told] == found
