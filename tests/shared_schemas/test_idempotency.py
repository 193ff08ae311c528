import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_schemas import idempotency

ORIGIN = ("msg", "lc_run--1", "call_1", 0)


@pytest.mark.parametrize("header", ["run-1:2026", '"run-1:2026"', "  run-1:2026 ", ' "run-1:2026"'])
def test_a_key_is_read_bare_or_quoted(header):
    assert idempotency.parse(header) == "run-1:2026"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("short", id="too short"),
        pytest.param("x" * 201, id="too long"),
        pytest.param("has a space", id="space"),
        pytest.param('"unfinished', id="half quoted"),
        pytest.param("schlüssel-1", id="not ASCII"),
        pytest.param("new\nline-1", id="line break"),
    ],
)
def test_a_malformed_key_is_refused(header):
    with pytest.raises(idempotency.MalformedKeyError):
        idempotency.parse(header)


@pytest.mark.parametrize("header", ["run-1:2026", "tk1_short", "tk2_" + "a" * 32, "tk1_" + "a" * 33])
def test_a_tool_call_s_key_has_its_own_shape(header):
    with pytest.raises(idempotency.MalformedKeyError):
        idempotency.parse_tool_call_key(header)


@given(st.text(), st.text(), st.lists(st.text() | st.integers(), max_size=5))
def test_a_tool_call_key_is_a_function_of_its_origin_and_well_formed(run_id, thread_id, origin):
    def compute():
        return idempotency.tool_call_key(run_id=run_id, thread_id=thread_id, origin=tuple(origin))

    assert compute() == compute()
    assert idempotency.parse_tool_call_key(compute()) == compute()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"run_id": "r2"}, id="run"),
        pytest.param({"thread_id": "t2"}, id="thread"),
        pytest.param({"origin": ("msg", "lc_run--1", "call_1", 1)}, id="ordinal"),
        pytest.param({"origin": ("msg", "lc_run--1call_", "1", 0)}, id="where one part ends"),
        pytest.param({"origin": ("node", "lc_run--1", "call_1", 0)}, id="kind"),
    ],
)
def test_another_origin_has_another_key(changes):
    origin = {"run_id": "r1", "thread_id": "t1", "origin": ORIGIN}

    first = idempotency.tool_call_key(**origin)
    second = idempotency.tool_call_key(**(origin | changes))

    assert first != second
