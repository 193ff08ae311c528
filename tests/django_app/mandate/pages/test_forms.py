import pytest

from mandate import exceptions
from mandate.pages import forms
from practice import models as practice_models
from shared_schemas.problems import ErrorCode, FieldProblem

pytestmark = pytest.mark.django_db

SCHEMA = {
    "$defs": {"Level": {"enum": ["easy", "hard"], "type": "string"}},
    "properties": {
        "lesson": {"type": "integer", "minimum": 1, "title": "Lesson", "description": "Which one."},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
        "student": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "level": {"$ref": "#/$defs/Level"},
        "wish": {"type": "string", "maxLength": 5},
        "more": {"type": "array"},
    },
    "required": ["lesson"],
}


@pytest.fixture
def fill(agent, user):
    def make(**fields):
        data = {"request_key": "k", "models": [agent.default_model]}
        data |= {f"input-{name}": value for name, value in fields.items()}
        made = forms.Start(data, agent=agent, schema=SCHEMA, costs={}, user=user)
        made.is_valid()
        return made

    return make


def test_what_is_given_has_the_types_of_the_schema(fill):
    made = fill(lesson="1", count="2", student="7", level="hard", wish="", more="[1]")

    assert made.errors == {}
    assert made.given() == {"lesson": 1, "count": 2, "student": 7, "level": "hard", "more": [1]}


def test_a_project_offers_values_by_their_names(agent, user):
    lesson = practice_models.Module.objects.create(
        slug="m", title="Loops", language="python", body="b", published=True
    )
    schema = {"properties": {"module_id": {"type": "integer"}}, "required": ["module_id"]}
    data = {"request_key": "k", "models": [agent.default_model], "input-module_id": str(lesson.pk)}

    made = forms.Start(data, agent=agent, schema=schema, costs={}, user=user)

    assert made.fields["input-module_id"].choices == [(lesson.pk, "Loops")]
    assert made.is_valid()
    assert made.given() == {"module_id": lesson.pk}


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        pytest.param({}, "input-lesson", id="missing"),
        pytest.param({"lesson": "0"}, "input-lesson", id="too small"),
        pytest.param({"lesson": "1", "count": "11"}, "input-count", id="too large"),
        pytest.param({"lesson": "1", "student": "x"}, "input-student", id="no number"),
        pytest.param({"lesson": "1", "level": "odd"}, "input-level", id="no choice"),
        pytest.param({"lesson": "1", "wish": "longer"}, "input-wish", id="too long"),
        pytest.param({"lesson": "1", "more": "["}, "input-more", id="no JSON"),
        pytest.param({"lesson": "1", "more": "[" * 100_000}, "input-more", id="nested too deeply"),
    ],
)
def test_what_the_schema_forbids_is_refused_at_its_field(fill, fields, refused):
    filled = fill(**fields)

    assert list(filled.errors) == [refused]
    assert all(value in filled.as_p() for value in fields.values())


def test_a_refusal_is_shown_at_the_field_it_names(fill):
    made = fill(lesson="1")

    made.refuse(
        exceptions.RequestRefused(
            ErrorCode.INVALID_REQUEST,
            "No.",
            errors=[FieldProblem(pointer="/input/lesson", detail="There is none.")],
        )
    )

    assert made.errors == {"input-lesson": ["There is none."]}


def test_a_refusal_that_names_no_field_is_shown_above(fill):
    made = fill(lesson="1")

    made.refuse(exceptions.RequestRefused(ErrorCode.AGENT_PAUSED, "It is paused."))

    assert made.non_field_errors() == ["It is paused."]
