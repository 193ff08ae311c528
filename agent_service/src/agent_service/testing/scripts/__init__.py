"""What the scripted model answers, as data; a conversation decides which rule is used, never chance or time."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

Role = Literal["user", "assistant", "tool"]

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class ScriptError(ValueError):
    """A script cannot be read, or has no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation, whoever's wire format it came in."""

    role: Role
    text: str
    tool: str | None = None
    """For a tool's answer: which tool gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a model was asked."""

    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: frozenset[str]
    schema: str | None = None
    """The name of the JSON Schema that the answer must fit."""


class Entry(BaseModel):
    """Base of what a script may say: a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class When(Entry):
    """Which conversations a rule is for; everything that is given must hold."""

    model: str | None = None
    """A regular expression, like the next three; case does not matter in any."""

    system: str | None = None
    last: str | None = None
    """Found in the last message."""

    said: str | None = None
    """Found in any message after the system's."""

    tools: frozenset[str] = frozenset()
    """Offered to the model."""

    answered: str | None = None
    """The tool whose answer is the last message."""

    wants: str | None = None
    """The structured output asked for, by its name, as a schema or as a tool."""

    turn: int | None = None
    """1 for the model's first answer."""

    def holds(self, talk: Conversation) -> bool:
        """Say whether the conversation is one of these."""
        last = talk.turns[-1] if talk.turns else Turn(role="user", text="")
        return (
            _found(self.model, talk.model)
            and _found(self.system, talk.system)
            and _found(self.last, last.text)
            and _found(self.said, "\n".join(turn.text for turn in talk.turns))
            and self.tools <= talk.tools
            and self.answered in {None, last.tool}
            and (self.wants is None or self.wants == talk.schema or self.wants in talk.tools)
            and self.turn in {None, 1 + sum(turn.role == "assistant" for turn in talk.turns)}
        )


class Take(Entry):
    """A value out of the conversation, for `${name}` in the answer.

    Either the first group of a `pattern`, or a `path` into the last answer of a `tool`.
    """

    pattern: str | None = None
    tool: str | None = None
    path: str = ""

    def value(self, talk: Conversation) -> JsonValue:
        """Find it.

        Raises:
            ScriptError: it is not there.
        """
        if self.pattern is not None:
            return _first_group(self.pattern, talk)
        for turn in reversed(talk.turns):
            if turn.tool == self.tool:
                return _at(turn.text, self.path)
        raise ScriptError(f"No tool {self.tool!r} has answered yet.")


class Call(Entry):
    """A tool call."""

    name: str
    arguments: dict[str, JsonValue] = {}


class Structured(Entry):
    """Data in the form that was asked for: a tool call or JSON text."""

    name: str
    value: dict[str, JsonValue]


class Answer(Entry):
    """What the model says."""

    text: str = ""
    calls: list[Call] = []
    structured: Structured | None = None


class Fault(Entry):
    """What happens to one request instead of, or on top of, a good answer."""

    kind: Literal["status", "hang", "cut", "malformed_arguments", "repeated_calls", "answer"]
    status: int = 500
    retry_after: float | None = None
    after_chunks: int = 2
    """How much of a stream arrives before it is cut."""

    answer: Answer = Answer()
    """What is said instead: nothing at all, if it is not given."""


class Rule(Entry):
    """An answer for some conversations. The first rule of a script that holds is used."""

    when: When = When()
    take: dict[str, Take] = {}
    answer: Answer
    faults: list[Fault] = []
    """Used up one by one, before the rule answers well."""

    latency: float = 0
    """Seconds before the first byte."""


class Script(Entry):
    """Rules in order."""

    rules: list[Rule]

    def rule_for(self, talk: Conversation) -> tuple[int, Rule]:
        """Return the first rule that holds, and its number.

        Raises:
            ScriptError: none does.
        """
        for number, rule in enumerate(self.rules):
            if rule.when.holds(talk):
                return number, rule
        last = talk.turns[-1].text if talk.turns else ""
        raise ScriptError(f"The script has no rule for this conversation, which ends with {last[-200:]!r}.")


def answer_of(rule: Rule, talk: Conversation) -> Answer:
    """Fill a rule's answer with what it takes from the conversation."""
    values = {name: take.value(talk) for name, take in rule.take.items()}
    return Answer.model_validate(_filled(rule.answer.model_dump(exclude_none=True), values))


def bundled() -> Script:
    """Read the scripts that are shipped."""
    texts = (file.read_text() for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml"))
    return _joined(_parsed(text) for text in texts)


def load(paths: Iterable[Path]) -> Script:
    """Read scripts from files; the rules of the first come first.

    Raises:
        ScriptError: one is not a script.
    """
    return _joined(_parsed(path.read_text()) for path in paths)


def _joined(scripts: Iterable[Script]) -> Script:
    return Script(rules=[rule for script in scripts for rule in script.rules])


def _parsed(text: str) -> Script:
    try:
        return Script.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ScriptError(f"This is not a script: {error}") from error


def _found(pattern: str | None, text: str) -> bool:
    return pattern is None or re.search(pattern, text, re.IGNORECASE) is not None


def _first_group(pattern: str, talk: Conversation) -> JsonValue:
    for text in (*(turn.text for turn in reversed(talk.turns)), talk.system):
        if match := re.search(pattern, text, re.IGNORECASE):
            found: str = match.group(1)
            return int(found) if found.isdigit() else found
    raise ScriptError(f"Nothing in the conversation matches {pattern!r}.")


def _at(text: str, path: str) -> JsonValue:
    # A tool's answer may be followed by a note in words.
    value, _ = json.JSONDecoder().raw_decode(text)
    for step in filter(None, path.split("/")):
        value = value[int(step)] if isinstance(value, list) else value[step]
    found: JsonValue = value
    return found


def _filled(value: Any, values: Mapping[str, JsonValue]) -> Any:
    match value:
        case str():
            return _filled_text(value, values)
        case {"first": count, "of": items}:
            return _filled(items, values)[: int(str(_filled(count, values)))]
        case dict():
            return {key: _filled(item, values) for key, item in value.items()}
        case list():
            return [_filled(item, values) for item in value]
    return value


def _filled_text(text: str, values: Mapping[str, JsonValue]) -> JsonValue:
    if (whole := _PLACEHOLDER.fullmatch(text)) and whole.group(1) in values:
        return values[whole.group(1)]
    return _PLACEHOLDER.sub(lambda match: str(values.get(match.group(1), match.group(0))), text)
