import pytest
from pydantic import BaseModel

from mandate import tools
from mandate.tools import declaration, registry


class Ask(tools.Schema):
    text: str


class Text(BaseModel):
    text: str


def echo(context: tools.Context, call: Ask) -> Text:
    """Say it again."""
    return Text(text=call.text)


def takes_nothing() -> Text:
    """Take nothing."""
    return Text(text="")


def takes_anything(context: tools.Context, call: BaseModel) -> Text:
    """Take a model that tolerates unknown fields."""
    return Text(text=str(call))


def returns_text(context: tools.Context, call: Ask) -> str:
    """Return a plain text."""
    return call.text


def says_nothing(context: tools.Context, call: Ask) -> Text:
    return Text(text=call.text)


def test_the_function_says_everything_that_a_model_sees(declare):
    spec = registry.declared()[declare(echo)].spec()

    assert (spec.name, spec.description) == ("echo", "Say it again.")
    assert spec.input_schema["required"] == ["text"]
    assert spec.input_schema["additionalProperties"] is False
    assert spec.output_schema["properties"]["text"] == {"title": "Text", "type": "string"}
    assert (spec.return_direct, spec.needs_approval, spec.max_corrections) == (False, False, 1)


@pytest.mark.parametrize("function", [takes_nothing, takes_anything, returns_text, says_nothing])
def test_a_function_that_says_too_little_is_no_tool(declare, function):
    with pytest.raises(declaration.BadToolError, match=function.__name__):
        declare(function)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"name": "Echo"}, id="upper case"),
        pytest.param({"name": "9lives"}, id="begins with a digit"),
        pytest.param({"scope": "everything"}, id="a scope without a verb"),
        pytest.param({"prepare": print}, id="a slow step without its parameter"),
        pytest.param(
            {"effect": tools.Effect.READ, "approval": tools.ApprovalRule(permission="auth.add_group")},
            id="an approval of a read",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(declare, options):
    with pytest.raises(declaration.BadToolError):
        declare(echo, **options)


def test_two_functions_do_not_share_a_name(declare):
    declare(echo)

    with pytest.raises(registry.DuplicateToolError, match="'echo'"):
        declare(says_something_else, name="echo")


def test_another_schema_is_another_version(declare):
    class More(tools.Schema):
        text: str
        times: int = 1

    def louder(context: tools.Context, call: More) -> Text:
        """Say it again."""
        return Text(text=call.text * call.times)

    first, second = declare(echo), declare(louder)

    versions = {name: registry.declared()[name].version for name in (first, second)}
    assert versions[first] != versions[second]


def says_something_else(context: tools.Context, call: Ask) -> Text:
    """Say something else."""
    return Text(text=call.text[::-1])
