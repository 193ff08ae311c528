"""Gives the tool calls that a stopped run left open an answer, so that providers accept the conversation."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

MESSAGES = "messages"

UNANSWERED = "The call was stopped before it had a result."


def mend(given: Any, values: Any) -> Any:
    """Return a graph's input with those answers in front of its messages.

    They enter the state with the input and in one step, so that a repetition after a crash adds nothing.
    """
    if not isinstance(given, dict) or not isinstance(values, dict):
        return given
    answers = _answers(values.get(MESSAGES))
    return given | {MESSAGES: [*answers, *_listed(given.get(MESSAGES))]} if answers else given


def _answers(messages: Any) -> list[ToolMessage]:
    if not isinstance(messages, list):
        return []
    asked, answered = _last_calls(messages)
    return [
        ToolMessage(UNANSWERED, tool_call_id=call["id"], name=call["name"], status="error")
        for call in asked
        if call["id"] not in answered
    ]


def _last_calls(messages: Sequence[AnyMessage]) -> tuple[Sequence[Any], set[str]]:
    """Return the calls of the last message that is no answer of a tool, and the ids of those that have one."""
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        else:
            return (message.tool_calls if isinstance(message, AIMessage) else ()), answered
    return (), answered


def _listed(messages: Any) -> list[Any]:
    if messages is None:
        return []
    return messages if isinstance(messages, list) else [messages]
