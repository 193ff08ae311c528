"""What the wire formats of all providers have in common: a question that was read, and an answer on its way out."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from agent_service.testing import scripts

PIECE = 24
"""Characters of text or arguments in one chunk of a stream."""

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, read."""

    body: dict[str, Any]
    talk: scripts.Conversation
    is_streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer on its way out."""

    id: str
    model: str
    text: str
    calls: list[tuple[str, str]]
    """Name and arguments as JSON text, which a fault may have spoilt."""

    prompt_tokens: int
    call_ids: list[str]

    @property
    def answered_tokens(self) -> int:
        return tokens(self.text + "".join(name + arguments for name, arguments in self.calls))

    def arguments(self) -> list[dict[str, Any] | None]:
        """Return each call's arguments as data; nothing for those that are spoilt."""
        return [_data(arguments) for _, arguments in self.calls]


class Wire(Protocol):
    """A module that speaks one provider's format."""

    def read(self, body: dict[str, Any], path: dict[str, str]) -> Question:
        """Read a request."""

    def whole(self, question: Question, done: Completion) -> dict[str, Any]:
        """Write an answer in one piece."""

    def chunks(self, question: Question, done: Completion) -> Iterator[str]:
        """Write an answer as server-sent events."""

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Write an error body."""


def completion(question: Question, answer: scripts.Answer, *, repetition: int) -> Completion:
    """Prepare an answer; the same request for the same time has the same ids."""
    talk = question.talk
    text, calls = answer.text, [(call.name, json.dumps(call.arguments)) for call in answer.calls]
    if answer.structured is not None and answer.structured.name in talk.tools:
        calls.append((answer.structured.name, json.dumps(answer.structured.value)))
    elif answer.structured is not None:
        text = json.dumps(answer.structured.value)
    asked = json.dumps(question.body, sort_keys=True)
    return Completion(
        id=_digest(asked, repetition),
        model=talk.model,
        text=text,
        calls=calls,
        prompt_tokens=tokens(
            json.dumps([talk.system, [turn.text for turn in talk.turns], sorted(talk.tools)])
        ),
        call_ids=[_digest(asked, repetition, number) for number in range(2 * len(calls))],
    )


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a stream does."""
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def event(data: dict[str, Any], *, name: str | None = None) -> str:
    """Write one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {json.dumps(data)}\n\n"


def tokens(text: str) -> int:
    """Count as a model might."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def is_the_callers(status: int) -> bool:
    """Tell whether an error is in the request."""
    return status < HTTPStatus.INTERNAL_SERVER_ERROR


def _data(arguments: str) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(arguments)
    except ValueError:
        return None
    return data


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
