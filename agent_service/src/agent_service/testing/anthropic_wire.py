"""Anthropic's messages: what is asked, and how an answer is written.

https://docs.anthropic.com/en/api/messages
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from agent_service.testing import scripts, wire

OVERLOADED = 529

_KINDS = {
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    OVERLOADED: "overloaded_error",
}


def read(body: dict[str, Any], _: dict[str, str]) -> wire.Question:
    """Read a request.

    Raises:
        ScriptError: the real one would not take it.
    """
    messages = [(message["role"], _blocks(message["content"])) for message in body.get("messages", [])]
    names = {
        block["id"]: block["name"]
        for _, blocks in messages
        for block in blocks
        if block["type"] == "tool_use"
    }
    if any(
        block["type"] == "text" and not block["text"].strip() for _, blocks in messages for block in blocks
    ):
        raise scripts.ScriptError("messages: text content blocks must be non-empty")
    asked_format = (body.get("output_config") or {}).get("format") or {}
    talk = scripts.Conversation(
        model=body["model"],
        system="\n".join(block.get("text", "") for block in _blocks(body.get("system") or "")),
        turns=tuple(turn for role, blocks in messages for turn in _turns(role, blocks, names)),
        tools=frozenset(tool["name"] for tool in body.get("tools", [])),
        schema=asked_format.get("schema", {}).get("title"),
    )
    return wire.Question(body=body, talk=talk, is_streamed=bool(body.get("stream")))


def whole(_: wire.Question, done: wire.Completion) -> dict[str, Any]:
    """Write an answer in one piece."""
    text = [{"type": "text", "text": done.text, "citations": None}] if done.text else []
    calls = [
        # A whole answer always has an object here: what cannot be read as one is lost.
        {"type": "tool_use", "id": f"toolu_{id_}", "name": name, "input": arguments or {}}
        for id_, (name, _), arguments in zip(done.call_ids, done.calls, done.arguments(), strict=False)
    ]
    return _message(done) | {
        "content": [*text, *calls],
        "stop_reason": _stop_reason(done),
        "usage": _usage(done),
    }


def chunks(_: wire.Question, done: wire.Completion) -> Iterator[str]:
    """Write an answer as server-sent events."""
    begun = _message(done) | {
        "content": [],
        "stop_reason": None,
        "usage": _usage(done) | {"output_tokens": 1},
    }
    yield _event({"type": "message_start", "message": begun})
    index = 0
    if done.text:
        yield from _block(index, {"type": "text", "text": ""}, "text_delta", "text", done.text)
        index += 1
    for id_, (name, arguments) in zip(done.call_ids, done.calls, strict=False):
        opening = {"type": "tool_use", "id": f"toolu_{id_}", "name": name, "input": {}}
        yield from _block(index, opening, "input_json_delta", "partial_json", arguments)
        index += 1
    ended = {"stop_reason": _stop_reason(done), "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": ended, "usage": _usage(done)})
    yield _event({"type": "message_stop"})


def error(status: int, message: str) -> dict[str, Any]:
    """Write an error body."""
    other = "invalid_request_error" if wire.is_the_callers(status) else "api_error"
    return {"type": "error", "error": {"type": _KINDS.get(status, other), "message": message}}


def _block(index: int, opening: dict[str, Any], kind: str, field: str, text: str) -> Iterator[str]:
    yield _event({"type": "content_block_start", "index": index, "content_block": opening})
    for piece in wire.pieces(text):
        yield _event({"type": "content_block_delta", "index": index, "delta": {"type": kind, field: piece}})
    yield _event({"type": "content_block_stop", "index": index})


def _event(data: dict[str, Any]) -> str:
    return wire.event(data, name=data["type"])


def _message(done: wire.Completion) -> dict[str, Any]:
    return {
        "id": f"msg_{done.id}",
        "type": "message",
        "role": "assistant",
        "model": done.model,
        "stop_sequence": None,
    }


def _usage(done: wire.Completion) -> dict[str, int]:
    return {"input_tokens": done.prompt_tokens, "output_tokens": done.answered_tokens}


def _stop_reason(done: wire.Completion) -> str:
    return "tool_use" if done.calls else "end_turn"


def _turns(role: scripts.Role, blocks: list[dict[str, Any]], names: dict[str, str]) -> Iterator[scripts.Turn]:
    for block in blocks:
        if block["type"] == "tool_result":
            text = "".join(part.get("text", "") for part in _blocks(block.get("content") or ""))
            yield scripts.Turn(role="tool", text=text, tool=names.get(block["tool_use_id"]))
    said = [block["text"] for block in blocks if block["type"] == "text"]
    if said or role == "assistant":
        yield scripts.Turn(role=role, text="".join(said))


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
