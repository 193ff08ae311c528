"""OpenAI's chat completions: what is asked, and how an answer is written.

https://platform.openai.com/docs/api-reference/chat
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from agent_service.testing import scripts

_PIECE = 24
"""Characters of text or arguments in one chunk of a stream."""

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer on its way out."""

    id: str
    model: str
    text: str
    calls: list[tuple[str, str]]
    """Name and arguments as JSON text, which a fault may have spoilt."""

    prompt_tokens: int
    call_ids: list[str] = field(default_factory=list)

    def usage(self) -> dict[str, int]:
        answered = _tokens(self.text + "".join(name + arguments for name, arguments in self.calls))
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": answered,
            "total_tokens": self.prompt_tokens + answered,
        }

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else "stop"


def conversation(body: dict[str, Any]) -> scripts.Conversation:
    """Read a request."""
    messages = body.get("messages", [])
    names = {call["id"]: call["function"]["name"] for message in messages for call in _calls(message)}
    system = "\n".join(_text(message) for message in messages if message["role"] in {"system", "developer"})
    response_format = body.get("response_format") or {}
    return scripts.Conversation(
        model=body["model"],
        system=system,
        turns=tuple(
            scripts.Turn(
                role=message["role"], text=_text(message), tool=names.get(message.get("tool_call_id"))
            )
            for message in messages
            if message["role"] not in {"system", "developer"}
        ),
        tools=frozenset(tool["function"]["name"] for tool in body.get("tools", [])),
        schema=response_format.get("json_schema", {}).get("name"),
    )


def completion(
    body: dict[str, Any], talk: scripts.Conversation, answer: scripts.Answer, *, repetition: int
) -> Completion:
    """Prepare an answer; the same request for the same time has the same ids."""
    text, calls = answer.text, [(call.name, json.dumps(call.arguments)) for call in answer.calls]
    if answer.structured is not None and answer.structured.name in talk.tools:
        calls.append((answer.structured.name, json.dumps(answer.structured.value)))
    elif answer.structured is not None:
        text = json.dumps(answer.structured.value)
    asked = json.dumps(body, sort_keys=True)
    return Completion(
        id=f"chatcmpl-{_digest(asked, repetition)}",
        model=talk.model,
        text=text,
        calls=calls,
        prompt_tokens=_tokens(json.dumps([body["messages"], body.get("tools")])),
        call_ids=[f"call_{_digest(asked, repetition, number)}" for number in range(2 * len(calls))],
    )


def whole(done: Completion) -> dict[str, Any]:
    """Write an answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": done.text or None, "refusal": None}
    if done.calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, (name, arguments) in zip(done.call_ids, done.calls, strict=False)
        ]
    choice = {"index": 0, "message": message, "finish_reason": done.finish_reason, "logprobs": None}
    return _envelope(done, "chat.completion") | {"choices": [choice], "usage": done.usage()}


def chunks(done: Completion, *, include_usage: bool) -> Iterator[str]:
    """Write an answer as server-sent events."""
    yield _chunk(done, {"role": "assistant", "content": ""})
    for piece in _pieces(done.text):
        yield _chunk(done, {"content": piece})
    for index, (name, arguments) in enumerate(done.calls):
        opening = {"name": name, "arguments": ""}
        call = {"index": index, "id": done.call_ids[index], "type": "function", "function": opening}
        yield _chunk(done, {"tool_calls": [call]})
        for piece in _pieces(arguments):
            yield _chunk(done, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk(done, {}, finish_reason=done.finish_reason)
    if include_usage:
        yield _event(_envelope(done, "chat.completion.chunk") | {"choices": [], "usage": done.usage()})
    yield "data: [DONE]\n\n"


def error(status: int, message: str) -> dict[str, Any]:
    """Write an error body."""
    kind = "server_error"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "rate_limit_error" if status == HTTPStatus.TOO_MANY_REQUESTS else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _chunk(done: Completion, delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return _event(_envelope(done, "chat.completion.chunk") | {"choices": [choice], "usage": None})


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _envelope(done: Completion, kind: str) -> dict[str, Any]:
    # A fixed time, so that the same question always has the same answer.
    return {"id": done.id, "object": kind, "created": 1_767_225_600, "model": done.model}


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message.get("tool_calls") or []


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
