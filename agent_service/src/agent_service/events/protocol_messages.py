"""Messages as content blocks: what a chat model streams in chunks, or a node returns whole."""

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata, add_usage

Json = dict[str, Any]

_CHUNK = "AIMessageChunk"
_WHOLE: dict[str, tuple[str, type[BaseMessage]]] = {
    "ai": ("ai", AIMessage),
    "human": ("human", HumanMessage),
    "system": ("system", SystemMessage),
}
"""Roles of the messages that nodes return. A tool's result is told by the channel `tools` and in the state."""

_GROWING = {
    "text": "text",
    "reasoning": "reasoning",
    "tool_call_chunk": "args",
    "server_tool_call_chunk": "args",
}
"""What grows in a block of a type."""

_DELTAS = {"text": "text-delta", "reasoning": "reasoning-delta"}
_FINISHED = {"tool_call_chunk": "tool_call", "server_tool_call_chunk": "server_tool_call"}
_HEAVY = frozenset({"args", "base64", "data", "output", "value"})
"""Told once, with the finished block."""


class Part(NamedTuple):
    """One event of a message."""

    namespace: tuple[str, ...]
    node: str | None
    data: Json


@dataclass(slots=True, kw_only=True)
class _Message:
    id: str
    role: str
    namespace: tuple[str, ...]
    node: str | None
    blocks: dict[Hashable, Json] = field(default_factory=dict)
    usage: UsageMetadata | None = None
    response: Json = field(default_factory=dict)

    def part(self, event: str, **fields: Any) -> Part:
        # The id in every part tells apart what two models stream at the same time.
        return Part(self.namespace, self.node, {"event": event, "id": self.id, "run_id": self.id, **fields})

    def start(self, metadata: Json) -> Part:
        about = {
            "provider": metadata.get("ls_provider"),
            "model": metadata.get("ls_model_name"),
            "langgraph_node": self.node,
        }
        return self.part(
            "message-start",
            role=self.role,
            metadata={name: value for name, value in about.items() if value is not None},
        )

    def take(self, message: BaseMessage) -> Iterator[Part]:
        for place, block in enumerate(_blocks(message)):
            yield from self._grow(block, place)
        if isinstance(message, AIMessage) and message.usage_metadata:
            self.usage = add_usage(self.usage, message.usage_metadata)
        self.response |= message.response_metadata

    def finish(self) -> Iterator[Part]:
        for index, block in enumerate(self.blocks.values()):
            yield self.part("content-block-finish", index=index, content=_finished(block))
        about: Json = {"metadata": self.response} if self.response else {}
        if self.usage:
            about["usage"] = self.usage
        yield self.part("message-finish", **about)

    def _grow(self, block: Json, place: int) -> Iterator[Part]:
        # Without an index of the provider's own, blocks of one type at one place of each chunk are one block.
        key = block.get("index", (block["type"], place))
        growing = _GROWING.get(block["type"])
        known = self.blocks.get(key)
        if known is None:
            self.blocks[key] = block
            yield self.part(
                "content-block-start", index=len(self.blocks) - 1, content=_skeleton(block, growing)
            )
        elif growing and known["type"] == block["type"]:
            grown = (known.get(growing) or "") + (block.get(growing) or "")
            known.update({name: value for name, value in block.items() if value is not None})
            known[growing] = grown
        else:
            known.clear()
            known.update(block)
        if growing and block.get(growing):
            index = list(self.blocks).index(key)
            yield self.part("content-block-delta", index=index, delta=_delta(block, growing))


@dataclass(slots=True)
class Messages:
    """The messages of one run."""

    _open: dict[str, _Message] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def take(self, namespace: tuple[str, ...], message: Json, metadata: Json) -> Iterator[Part]:
        """Yield the parts of a chunk or of a whole message, as the stream mode `messages` gives them."""
        id_ = str(message.get("id") or "")
        if id_ in self._done:
            return
        if message["type"] == _CHUNK:
            yield from self._take_chunk(id_, namespace, message, metadata)
        elif message["type"] in _WHOLE:
            role, kind = _WHOLE[message["type"]]
            whole = self._message(id_, role, namespace, metadata)
            yield whole.start(metadata)
            yield from whole.take(kind.model_validate(message))
            yield from self._finish(whole)

    def close(self, namespace: tuple[str, ...] | None = None, node: str | None = None) -> Iterator[Part]:
        """Finish the messages of a node that is done, or all."""
        for message in tuple(self._open.values()):
            if namespace is None or (message.namespace == namespace and message.node == node):
                yield from self._finish(message)

    def begin_again(self) -> Iterator[Part]:
        """Finish what a worker left that is gone; another one may say it again."""
        yield from self.close()
        self._done.clear()

    def _take_chunk(
        self, id_: str, namespace: tuple[str, ...], chunk: Json, metadata: Json
    ) -> Iterator[Part]:
        message = self._open.get(id_)
        if message is None:
            message = self._open[id_] = self._message(id_, "ai", namespace, metadata)
            yield message.start(metadata)
        # As the last one a chunk would hold its part of a tool call's arguments for the whole.
        yield from message.take(AIMessageChunk.model_validate(chunk | {"chunk_position": None}))
        if chunk.get("chunk_position") == "last":
            yield from self._finish(message)

    def _message(self, id_: str, role: str, namespace: tuple[str, ...], metadata: Json) -> _Message:
        return _Message(id=id_, role=role, namespace=namespace, node=metadata.get("langgraph_node"))

    def _finish(self, message: _Message) -> Iterator[Part]:
        self._open.pop(message.id, None)
        self._done.add(message.id)
        yield from message.finish()


def _blocks(message: BaseMessage) -> list[Json]:
    found = [dict(block) for block in message.content_blocks]
    if not isinstance(message, AIMessage) or isinstance(message, AIMessageChunk):
        return found
    return found + [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]


def _skeleton(block: Json, growing: str | None) -> Json:
    if growing:
        named = {name: block[name] for name in ("type", "id", "name", "index") if block.get(name) is not None}
        return named | {growing: ""}
    light = {name: value for name, value in block.items() if name not in _HEAVY}
    if block["type"] in {"tool_call", "server_tool_call"}:
        return light | {"args": {}}
    return light | {"value": {}} if block["type"] == "non_standard" else light


def _delta(block: Json, growing: str) -> Json:
    return {"type": _DELTAS.get(block["type"], "tool-call-delta"), growing: block[growing]}


def _finished(block: Json) -> Json:
    kind = _FINISHED.get(block["type"])
    if kind is None:
        return block
    rest = {name: value for name, value in block.items() if name not in {"type", "index", "args"}}
    try:
        return rest | {"type": kind, "args": json.loads(block.get("args") or "{}")}
    except ValueError as error:
        return rest | {"type": "invalid_tool_call", "args": block["args"], "error": str(error)}
