"""OpenAI's chat completions: what is asked, and how an answer is written.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from agent_service.testing import scripts, wire


def read(body: dict[str, Any], _: dict[str, str]) -> wire.Question:
    """Read a request."""
    messages = body.get("messages", [])
    names = {call["id"]: call["function"]["name"] for message in messages for call in _calls(message)}
    system = "\n".join(_text(message) for message in messages if message["role"] in {"system", "developer"})
    response_format = body.get("response_format") or {}
    talk = scripts.Conversation(
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
    return wire.Question(body=body, talk=talk, is_streamed=bool(body.get("stream")))


def whole(_: wire.Question, done: wire.Completion) -> dict[str, Any]:
    """Write an answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": done.text or None, "refusal": None}
    if done.calls:
        message["tool_calls"] = [
            {"id": f"call_{id_}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, (name, arguments) in zip(done.call_ids, done.calls, strict=False)
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(done), "logprobs": None}
    return _envelope(done, "chat.completion") | {"choices": [choice], "usage": _usage(done)}


def chunks(question: wire.Question, done: wire.Completion) -> Iterator[str]:
    """Write an answer as server-sent events."""
    yield _chunk(done, {"role": "assistant", "content": ""})
    for piece in wire.pieces(done.text):
        yield _chunk(done, {"content": piece})
    for index, (name, arguments) in enumerate(done.calls):
        opening = {"name": name, "arguments": ""}
        call = {
            "index": index,
            "id": f"call_{done.call_ids[index]}",
            "type": "function",
            "function": opening,
        }
        yield _chunk(done, {"tool_calls": [call]})
        for piece in wire.pieces(arguments):
            yield _chunk(done, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk(done, {}, finish_reason=_finish_reason(done))
    if (question.body.get("stream_options") or {}).get("include_usage"):
        yield wire.event(_envelope(done, "chat.completion.chunk") | {"choices": [], "usage": _usage(done)})
    yield "data: [DONE]\n\n"


def error(status: int, message: str) -> dict[str, Any]:
    """Write an error body."""
    kind = "server_error"
    if wire.is_the_callers(status):
        kind = "rate_limit_error" if status == HTTPStatus.TOO_MANY_REQUESTS else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _usage(done: wire.Completion) -> dict[str, int]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.answered_tokens,
        "total_tokens": done.prompt_tokens + done.answered_tokens,
    }


def _finish_reason(done: wire.Completion) -> str:
    return "tool_calls" if done.calls else "stop"


def _chunk(done: wire.Completion, delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return wire.event(_envelope(done, "chat.completion.chunk") | {"choices": [choice], "usage": None})


def _envelope(done: wire.Completion, kind: str) -> dict[str, Any]:
    # A fixed time, so that the same question always has the same answer.
    return {"id": f"chatcmpl-{done.id}", "object": kind, "created": 1_767_225_600, "model": done.model}


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message.get("tool_calls") or []


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
