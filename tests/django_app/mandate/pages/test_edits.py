import pytest

from mandate import exceptions
from mandate.pages import edits
from shared_schemas.problems import ErrorCode, FieldProblem

SCHEMA = {
    "$defs": {"Level": {"enum": ["easy", "hard"], "type": "string"}},
    "properties": {
        "title": {"type": "string", "maxLength": 20},
        "points": {"type": "integer", "minimum": 1, "default": 5},
        "weight": {"type": "number"},
        "public": {"type": "boolean"},
        "sure": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "level": {"$ref": "#/$defs/Level"},
        "hint": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": "none"},
        "tests": {"type": "array"},
    },
    "required": ["title", "weight", "public", "level", "tests"],
}
ARGUMENTS = {
    "title": "Add up\n",
    "points": 3,
    "weight": 0.5,
    "public": True,
    "sure": None,
    "level": "hard",
    "hint": None,
    "tests": [{"input": "add(1, 2)", "expected": 3}],
}
SENT = {
    "argument-title": "Add up\r\n",
    "argument-points": "3",
    "argument-weight": "0.5",
    "argument-public": "on",
    "argument-level": "hard",
    "argument-tests": '[{"input": "add(1, 2)", "expected": 3}]',
}


def fill(**changed):
    sent = SENT | {f"argument-{name}": value for name, value in changed.items()}
    sent = {name: value for name, value in sent.items() if value is not None}
    return edits.Edit(sent, schema=SCHEMA, arguments=ARGUMENTS)


def test_what_nobody_touched_is_what_was_asked_for():
    form = fill()

    assert form.is_valid(), form.errors
    assert form.given() == ARGUMENTS


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        pytest.param("title", " Sum ", " Sum ", id="text to the letter"),
        pytest.param("title", "", "", id="no text"),
        pytest.param("weight", "2", 2.0, id="number"),
        pytest.param("public", None, False, id="no"),
        pytest.param("sure", "False", False, id="no instead of nothing"),
        pytest.param("level", "easy", "easy", id="choice"),
        pytest.param("hint", "Loop.", "Loop.", id="text instead of nothing"),
        pytest.param("tests", "[]", [], id="JSON"),
    ],
)
def test_an_argument_is_changed_in_its_own_field(name, sent, value):
    form = fill(**{name: sent})

    assert form.is_valid(), form.errors
    assert form.given() == ARGUMENTS | {name: value}


def test_what_is_emptied_and_has_a_default_is_left_out():
    form = fill(points="")

    assert form.is_valid(), form.errors
    assert "points" not in form.given()


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param("title", "x" * 21, id="too long"),
        pytest.param("points", "0", id="too small"),
        pytest.param("weight", "", id="missing"),
        pytest.param("level", "odd", id="no choice"),
        pytest.param("tests", "[", id="no JSON"),
    ],
)
def test_what_the_schema_forbids_is_refused_at_its_field(name, sent):
    assert list(fill(**{name: sent}).errors) == [f"argument-{name}"]


def test_a_refusal_inside_an_argument_is_shown_at_it_with_its_place():
    form = fill()
    form.is_valid()
    place = FieldProblem(pointer="/arguments/tests/0/input", detail="Too short.")

    form.refuse(exceptions.RequestRefused(ErrorCode.INVALID_ARGUMENTS, "No.", [place]))

    assert form.errors == {"argument-tests": ["/0/input: Too short."]}


def test_a_tool_that_is_gone_has_no_fields():
    assert edits.Edit(None, schema={}, arguments=ARGUMENTS).names == []
