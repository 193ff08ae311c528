"""Google's generateContent: what is asked, and how an answer is written.

https://ai.google.dev/api/generate-content
"""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from agent_service.testing import scripts, wire

_STATUSES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}


def read(body: dict[str, Any], path: dict[str, str]) -> wire.Question:
    """Read a request."""
    asked_format = (body.get("generationConfig") or {}).get("responseJsonSchema") or {}
    talk = scripts.Conversation(
        model=path["model"],
        system=_text((body.get("systemInstruction") or {}).get("parts", [])),
        turns=tuple(turn for content in body.get("contents", []) for turn in _turns(content)),
        tools=frozenset(
            function["name"]
            for tool in body.get("tools", [])
            for function in tool.get("functionDeclarations", [])
        ),
        schema=asked_format.get("title"),
    )
    return wire.Question(body=body, talk=talk, is_streamed=path["method"] == "streamGenerateContent")


def whole(_: wire.Question, done: wire.Completion) -> dict[str, Any]:
    """Write an answer in one piece."""
    said = [{"text": done.text}] if done.text else []
    return _answer(done, [*said, *_calls(done)], finish_reason=_finish_reason(done))


def chunks(_: wire.Question, done: wire.Completion) -> Iterator[str]:
    """Write an answer as server-sent events; a call comes in one of them."""
    for piece in wire.pieces(done.text):
        yield wire.event(_answer(done, [{"text": piece}]))
    for call in _calls(done):
        yield wire.event(_answer(done, [call]))
    yield wire.event(_answer(done, [{"text": ""}], finish_reason=_finish_reason(done)))


def error(status: int, message: str) -> dict[str, Any]:
    """Write an error body."""
    other = "INVALID_ARGUMENT" if wire.is_the_callers(status) else "INTERNAL"
    name = _STATUSES.get(status, other)
    return {"error": {"code": status, "message": message, "status": name}}


def _answer(
    done: wire.Completion, parts: list[dict[str, Any]], *, finish_reason: str | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    answered = done.answered_tokens if finish_reason else 0
    if finish_reason:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": done.prompt_tokens,
            "candidatesTokenCount": answered,
            "totalTokenCount": done.prompt_tokens + answered,
        },
        "modelVersion": done.model,
        "responseId": done.id,
    }


def _calls(done: wire.Completion) -> list[dict[str, Any]]:
    return [
        {"functionCall": {"id": f"call_{id_}", "name": name, "args": arguments}}
        for id_, (name, _), arguments in zip(done.call_ids, done.calls, done.arguments(), strict=False)
        if arguments is not None
    ]


def _finish_reason(done: wire.Completion) -> str:
    return "MALFORMED_FUNCTION_CALL" if None in done.arguments() else "STOP"


def _turns(content: dict[str, Any]) -> Iterator[scripts.Turn]:
    parts = content.get("parts", [])
    for part in parts:
        if answer := part.get("functionResponse"):
            yield scripts.Turn(role="tool", text=_told(answer["response"]), tool=answer["name"])
    role: scripts.Role = "assistant" if content.get("role") == "model" else "user"
    if role == "assistant" or any("text" in part for part in parts):
        yield scripts.Turn(role=role, text=_text(parts))


def _told(response: dict[str, Any]) -> str:
    """Return what a tool said; LangChain wraps what is no object."""
    if response.keys() == {"output"}:
        output = response["output"]
        return output if isinstance(output, str) else json.dumps(output)
    return json.dumps(response)


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts)
