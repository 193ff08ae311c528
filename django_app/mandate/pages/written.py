"""What a run's models wrote, for readers without JavaScript: the events so far, message by message.

With JavaScript, `messages.js` makes the same of the same events, piece by piece.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import async_to_sync
from langgraph_sdk.schema import StreamPart

from mandate import agent_client, exceptions, models
from mandate.models.run import AT_WORK
from shared_schemas import json_values

SILENCE = 1
"""Seconds without an event after which a run at work has told all that there is by now; others end their stream."""

PATIENCE = 8
"""Seconds for all of it."""

_INSIDE = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
_CUT_OFF = "Cut off here; it is written again."
_ASKED_AGAIN = "The same step asked again."


@dataclass(slots=True, kw_only=True)
class Message:
    """Words and calls of a model, or a note."""

    by: str = ""
    """The part of the graph that asked for it."""

    text: str = ""
    calls: dict[Any, list[str]] = field(default_factory=dict)
    """Name and arguments, by their place."""

    note: str = ""
    is_whole: bool = False
    is_again: bool = False
    """It was left there, and begun again."""


@dataclass(slots=True)
class Writing:
    """Messages in the order in which they were begun."""

    messages: list[Message] = field(default_factory=list)
    is_all: bool = True
    """Nothing is missing up to now."""

    _by_id: dict[str, Message] = field(default_factory=dict)
    _latest: dict[str, Message] = field(default_factory=dict)
    """The last message of each step of the graph."""

    def add(self, event: str, data: Any) -> None:
        """Take in an event of a run's stream."""
        name = event.partition("|")[0]
        if name == "messages":
            self._write(*data)
        elif name == "retry":
            self.messages.append(Message(note=retried(data), is_again=True))

    def _write(self, piece: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        is_whole = piece["type"] == "ai"
        if not is_whole and piece["type"] != "AIMessageChunk":
            return
        known = self._by_id.get(piece["id"])
        if known and piece.get("chunk_position") == "last":
            known.is_whole = True
        text, calls = _text(piece.get("content") or ""), _calls(piece)
        if not (text or calls) or (is_whole and known):
            return
        message = known or self._begin(piece["id"], source.get("langgraph_checkpoint_ns", ""))
        message.text += text
        message.is_whole = message.is_whole or is_whole
        for place, name, arguments in calls:
            shown = message.calls.setdefault(place, ["", ""])
            shown[0] += name
            shown[1] += arguments

    def _begin(self, message_id: str, step: str) -> Message:
        if before := self._latest.get(step):
            before.is_again = True
            before.note = _ASKED_AGAIN if before.is_whole else _CUT_OFF
        places = [part.split(":")[0] for part in step.split("|")]
        message = Message(by=_INSIDE.join(places[:-1]))
        self.messages.append(message)
        self._by_id[message_id] = self._latest[step] = message
        return message


def of(run: models.Run) -> Writing:
    """Read what was written in a run up to now, as far as the agent service tells."""
    return async_to_sync(_read)(run)


def retried(told: Mapping[str, Any]) -> str:
    """Return what a person reads of an attempt that failed and is made again."""
    return f"Attempt {told['attempt']} failed and is made again: {told['message']}"


async def _read(run: models.Run) -> Writing:
    writing = Writing()
    segments = [*run.earlier_agent_runs, *([run.agent_run_id] if run.agent_run_id else [])]
    try:
        async with asyncio.timeout(PATIENCE):
            for agent_run_id in segments:
                parts = agent_client.events(
                    thread_id=run.thread_id, agent_run_id=agent_run_id, acting_for=run.started_by
                )
                async with aclosing(parts):
                    is_over = agent_run_id != run.agent_run_id or run.status not in AT_WORK
                    await _take_in(writing, parts, is_over=is_over)
    except (exceptions.DeliveryFailed, TimeoutError):
        writing.is_all = False
    return writing


async def _take_in(writing: Writing, parts: AsyncGenerator[StreamPart], *, is_over: bool) -> None:
    while True:
        try:
            async with asyncio.timeout(None if is_over else SILENCE):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            return
        writing.add(part.event, part.data)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block.get("type") == "text")


def _calls(piece: Mapping[str, Any]) -> list[tuple[Any, str, str]]:
    if piece["type"] == "ai":
        whole = enumerate(piece.get("tool_calls") or ())
        return [(place, call["name"], json_values.text(call["args"])) for place, call in whole]
    chunks = piece.get("tool_call_chunks") or ()
    return [(chunk.get("index"), chunk.get("name") or "", chunk.get("args") or "") for chunk in chunks]
