import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_schemas import json_values

storable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"])), inner)
    ),
    max_leaves=20,
)


def nested(depth):
    value = "leaf"
    for _ in range(depth):
        value = [value]
    return value


@given(storable)
def test_ordinary_json_is_storable_and_its_canonical_text_reads_back(value):
    json_values.check_storable(value)

    assert json.loads(json_values.canonical(value)) == value


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        pytest.param({"a": ["x", "nul\0"]}, "/a/1", id="NUL"),
        pytest.param({"a/b": "\ud800"}, "/a~1b", id="lone surrogate"),
        pytest.param({"nul\0": 1}, "", id="NUL in a key"),
        pytest.param([float("nan")], "/0", id="NaN"),
        pytest.param({"n": float("-inf")}, "/n", id="infinity"),
        pytest.param({"n": 2**63}, "/n", id="65 bits"),
        pytest.param(nested(251), "/0" * 251, id="nesting"),
    ],
)
def test_what_a_checkpoint_cannot_keep_is_refused_by_place(value, pointer):
    with pytest.raises(json_values.UnstorableValueError) as refusal:
        json_values.check_storable(value)

    assert refusal.value.pointer == pointer


def test_the_order_of_keys_does_not_matter():
    assert json_values.canonical({"b": 1, "a": [1.5, "ü"]}) == json_values.canonical(
        {"a": [1.5, "ü"], "b": 1}
    )
