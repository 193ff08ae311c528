import pytest

from agent_service.testing import scripts

TALK = scripts.Conversation(
    model="gpt-4.1",
    system="You are polite.",
    turns=(
        scripts.Turn(role="user", text="Bring 2 of them"),
        scripts.Turn(role="tool", text='{"items": [{"id": 7}]} A note.', tool="fetch"),
    ),
    tools=frozenset({"fetch", "send"}),
    schema="Parcel",
)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"model": "^gpt"}, True),
        ({"model": "claude"}, False),
        ({"system": "POLITE"}, True),
        ({"last": "note"}, True),
        ({"last": "Bring"}, False),
        ({"said": "Bring"}, True),
        ({"tools": ["send"]}, True),
        ({"tools": ["send", "burn"]}, False),
        ({"answered": "fetch"}, True),
        ({"answered": "send"}, False),
        ({"wants": "Parcel"}, True),
        ({"wants": "Letter"}, False),
        ({"turn": 1}, True),
        ({"turn": 2}, False),
    ],
)
def test_a_rule_holds_when_all_it_says_does(when, holds):
    assert scripts.When(**when).holds(TALK) is holds


def test_an_answer_takes_values_from_the_conversation():
    rule = scripts.Rule(
        take={
            "count": scripts.Take(pattern=r"Bring (\d+)"),
            "id": scripts.Take(tool="fetch", path="items/0/id"),
        },
        answer=scripts.Answer(
            text="Item ${id} of ${unknown}",
            calls=[
                scripts.Call(name="send", arguments={"ids": {"first": "${count}", "of": ["${id}", 8, 9]}})
            ],
        ),
    )

    answer = scripts.answer_of(rule, TALK)

    assert answer.text == "Item 7 of ${unknown}"
    assert answer.calls[0].arguments == {"ids": [7, 8]}


@pytest.mark.parametrize("take", [{"pattern": "never said (.)"}, {"tool": "send"}])
def test_a_value_that_is_not_there_is_an_error(take):
    rule = scripts.Rule(take={"x": scripts.Take(**take)}, answer=scripts.Answer())

    with pytest.raises(scripts.ScriptError):
        scripts.answer_of(rule, TALK)


def test_the_rules_of_the_first_script_come_first(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"rules:\n  - answer: {{text: {name}}}\n")

    script = scripts.load([tmp_path / "first", tmp_path / "second"])

    assert script.rule_for(TALK)[1].answer.text == "first"


@pytest.mark.parametrize("text", ["rules: [{anser: {}}]", "rules: [", "nothing"])
def test_a_script_that_cannot_be_read_is_an_error(tmp_path, text):
    (tmp_path / "script.yaml").write_text(text)

    with pytest.raises(scripts.ScriptError):
        scripts.load([tmp_path / "script.yaml"])
