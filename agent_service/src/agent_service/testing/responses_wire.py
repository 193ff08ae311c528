"""OpenAI's responses: what is asked, and how an answer is written.

https://platform.openai.com/docs/api-reference/responses
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from agent_service.testing import openai_wire, scripts, wire

error = openai_wire.error

_CALL, _ANSWER = "function_call", "function_call_output"
_INSTRUCTING = frozenset({"system", "developer"})


def read(body: dict[str, Any], _: dict[str, str]) -> wire.Question:
    """Read a request.

    Raises:
        ScriptError: the real one would not take it.
    """
    items = _items(body.get("input", ""))
    names = {item["call_id"]: item["name"] for item in items if item.get("type") == _CALL}
    for item in items:
        if item.get("type") == _ANSWER and item["call_id"] not in names:
            raise scripts.ScriptError(
                f"No tool call found for function call output with call_id {item['call_id']}."
            )
    told = [_text(item["content"]) for item in items if item.get("role") in _INSTRUCTING]
    talk = scripts.Conversation(
        model=body["model"],
        system="\n".join([body["instructions"], *told] if body.get("instructions") else told),
        turns=tuple(_turns((item for item in items if item.get("role") not in _INSTRUCTING), names)),
        tools=frozenset(tool["name"] for tool in body.get("tools", []) if tool["type"] == "function"),
        schema=((body.get("text") or {}).get("format") or {}).get("name"),
    )
    return wire.Question(body=body, talk=talk, is_streamed=bool(body.get("stream")))


def whole(question: wire.Question, done: wire.Completion) -> dict[str, Any]:
    """Write an answer in one piece."""
    return _response(question, done) | {
        "status": "completed",
        "output": [item | {"status": "completed"} for item in _output(done)],
        "usage": _usage(done),
    }


def chunks(question: wire.Question, done: wire.Completion) -> Iterator[str]:
    """Write an answer as server-sent events, numbered."""
    begun = _response(question, done) | {"status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for index, item in enumerate(_output(done)) for event in _said(index, item)),
        {"type": "response.completed", "response": whole(question, done)},
    ]
    return (
        wire.event(event | {"sequence_number": number}, name=event["type"])
        for number, event in enumerate(events)
    )


def _items(given: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _turns(items: Iterable[dict[str, Any]], names: dict[str, str]) -> Iterator[scripts.Turn]:
    for are_the_models, group in groupby(items, key=_is_models):
        if are_the_models:
            # Its words and its calls are items of their own, but one answer.
            said = (_text(item["content"]) for item in group if "content" in item)
            yield scripts.Turn(role="assistant", text="".join(said))
        else:
            yield from (_told(item, names) for item in group)


def _told(item: dict[str, Any], names: dict[str, str]) -> scripts.Turn:
    if item.get("type") == _ANSWER:
        return scripts.Turn(role="tool", text=_text(item["output"]), tool=names[item["call_id"]])
    return scripts.Turn(role="user", text=_text(item["content"]))


def _is_models(item: dict[str, Any]) -> bool:
    return item.get("role") == "assistant" or item.get("type") in {_CALL, "reasoning"}


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _output(done: wire.Completion) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": done.text, "annotations": [], "logprobs": []}
    message = {"id": f"msg_{done.id}", "type": "message", "role": "assistant", "content": [part]}
    calls = [
        {"id": f"fc_{id_}", "type": _CALL, "call_id": f"call_{id_}", "name": name, "arguments": arguments}
        for id_, (name, arguments) in zip(done.call_ids, done.calls, strict=False)
    ]
    return [message, *calls] if done.text else calls


def _said(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of one item of the output."""
    whole_item = item | {"status": "completed"}
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    yield {
        "type": "response.output_item.added",
        "output_index": index,
        "item": item | empty | {"status": "in_progress"},
    }
    at = {"output_index": index, "item_id": item["id"]}
    yield from _text_said(at, item) if item["type"] == "message" else _arguments_said(at, item)
    yield {"type": "response.output_item.done", "output_index": index, "item": whole_item}


def _text_said(at: dict[str, Any], item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    at = at | {"content_index": 0}
    (part,) = item["content"]
    yield {"type": "response.content_part.added", "part": part | {"text": ""}, **at}
    for piece in wire.pieces(part["text"]):
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **at}
    yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **at}
    yield {"type": "response.content_part.done", "part": part, **at}


def _arguments_said(at: dict[str, Any], item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in wire.pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", "delta": piece, **at}
    yield {
        "type": "response.function_call_arguments.done",
        "name": item["name"],
        "arguments": item["arguments"],
        **at,
    }


def _usage(done: wire.Completion) -> dict[str, Any]:
    return {
        "input_tokens": done.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": done.answered_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": done.prompt_tokens + done.answered_tokens,
    }


def _response(question: wire.Question, done: wire.Completion) -> dict[str, Any]:
    asked = question.body
    return {
        "id": f"resp_{done.id}",
        "object": "response",
        # A fixed time, so that the same question always has the same answer.
        "created_at": 1_767_225_600,
        "model": done.model,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "metadata": asked.get("metadata") or {},
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": asked.get("store", True),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
        "user": asked.get("user"),
    }
