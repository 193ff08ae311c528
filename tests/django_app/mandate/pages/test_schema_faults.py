"""What is wrong inside of what people write as JSON."""

import pytest
from django.utils.datastructures import MultiValueDict

from mandate.pages import forms, schema_faults

SCHEMA = {
    "$defs": {
        "Task": {
            "type": "object",
            "properties": {
                "title": {"type": "string", "minLength": 3},
                "tests": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["title"],
            "additionalProperties": False,
        },
        "HumanMessage": {"type": "object", "properties": {"type": {"const": "human"}}, "required": ["type"]},
    },
    "properties": {
        "tasks": {"type": "array", "items": {"$ref": "#/$defs/Task"}, "maxItems": 9},
        "first": {"anyOf": [{"$ref": "#/$defs/Task"}, {"type": "null"}]},
        "messages": {"type": "array", "items": {"oneOf": [{"$ref": "#/$defs/HumanMessage"}]}},
        "elsewhere": {"$ref": "http://127.0.0.1:9/schema.json"},
    },
}


@pytest.fixture
def faults():
    """Returns the faults of a property's value."""

    def find(name, value):
        return schema_faults.of(value, SCHEMA["properties"][name], schema=SCHEMA)

    return find


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("tasks", {}, ["{} is not of type 'array'"], id="itself"),
        pytest.param("tasks", [{"title": "x"}], ["/0/title: 'x' is too short"], id="inside"),
        pytest.param("tasks", [{"tests": []}], ["/0: 'title' is a required property"], id="missing"),
        pytest.param("first", {"title": 1}, ["/title: 1 is not of type 'string'"], id="of the nearest kind"),
        pytest.param("first", None, [], id="null where it may be"),
        pytest.param("tasks", [{"title": "Sums", "tests": [1]}], [], id="fits"),
        pytest.param("messages", [{"role": "user", "content": "Hi"}], [], id="messages"),
    ],
)
def test_a_fault_is_told_with_its_path(faults, name, value, told):
    assert faults(name, value) == told


def test_many_faults_are_told_in_part_and_long_ones_are_cut(faults):
    found = faults("tasks", ["x" * 1000] * 9)

    assert len(found) == schema_faults.MOST_FAULTS
    assert all(len(fault) < 250 for fault in found)


def test_nothing_is_fetched_for_a_schema(faults):
    with pytest.raises(Exception, match="Unresolvable"):
        faults("elsewhere", 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("written", "errors"),
    [
        pytest.param('[{"title": "x"}]', {"input-tasks": ["/0/title: 'x' is too short"]}, id="a fault"),
        pytest.param("[]", {}, id="an empty list"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_a_form_refuses_it_at_its_field(agent, user, written, errors):
    data = MultiValueDict({"request_key": ["k"], "models": [agent.default_model], "input-tasks": [written]})
    schema = SCHEMA | {"properties": {"tasks": SCHEMA["properties"]["tasks"]}}

    made = forms.Start(data, agent=agent, schema=schema, costs={}, user=user)

    assert made.errors == errors
