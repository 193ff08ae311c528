"""What a graph streams, as a run's events."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import BaseMessage, BaseMessageChunk
from langchain_core.runnables import RunnableConfig

from agent_service.engine import encoding
from agent_service.graphs import registry

INTERRUPT = "__interrupt__"

MESSAGES = "messages"
MESSAGES_TUPLE = "messages-tuple"
VALUES = "values"

EVENTS = "events"
LIFECYCLE = "lifecycle"

_NOT_THE_GRAPHS = frozenset({EVENTS, LIFECYCLE})

Chunk = tuple[tuple[str, ...], str, Any]
"""Namespace, mode and data, as a graph streams them with `subgraphs=True`."""


def graph_modes(asked: tuple[str, ...]) -> list[str]:
    """Return the modes to ask the graph for: `values` always, for the run's result."""
    modes = {MESSAGES if mode == MESSAGES_TUPLE else mode for mode in (*asked, VALUES)}
    return sorted(modes - _NOT_THE_GRAPHS)


def chunks(
    graph: registry.Graph, given: Any, config: RunnableConfig, *, asked: tuple[str, ...], **options: Any
) -> AsyncGenerator[Any]:
    """Return what a graph streams in the modes that are asked for; closing it ends the graph's nodes."""
    options["stream_mode"] = graph_modes(asked)
    if EVENTS in asked:
        return _with_events(graph, given, config, **options)
    return cast("AsyncGenerator[Any]", graph.astream(given, config, **options))


async def _with_events(
    graph: registry.Graph, given: Any, config: RunnableConfig, **options: Any
) -> AsyncGenerator[Any]:
    """Yield what a graph streams, and under the mode `events` LangChain's events of everything in it."""
    streamed = cast("AsyncGenerator[Any]", graph.astream_events(given, config, version="v2", **options))
    async with aclosing(streamed) as events:
        async for event in events:
            if event["event"] == "on_chain_stream" and not event["parent_ids"]:
                yield event["data"]["chunk"]
            yield ((), EVENTS, event) if options["subgraphs"] else (EVENTS, event)


@dataclass(slots=True, kw_only=True)
class Reading:
    """Turns one run's chunks into events, and remembers the last state."""

    asked: tuple[str, ...]
    subgraphs: bool
    values: Any = None
    interrupted: bool = False
    known: str | None = None
    """The values that an attempt before wrote last: a graph that goes on begins by saying them again."""

    _partial: dict[str, BaseMessage] = field(default_factory=dict, init=False)

    async def events(self, chunks: AsyncGenerator[Any]) -> AsyncGenerator[tuple[str, str]]:
        """Yield each event's name and JSON; the chunks are closed with it."""
        async with aclosing(chunks):
            async for chunk in chunks:
                for event in self._events_of(chunk):
                    yield event

    def _events_of(self, chunk: Any) -> Iterator[tuple[str, str]]:
        namespace, mode, data = chunk if self.subgraphs else ((), *chunk)
        if mode == VALUES and not namespace:
            self._remember(data)
        for name, content in self._named(mode, data):
            text = encoding.dumps(content)
            if name == VALUES and not namespace:
                known, self.known = self.known, None
                if text == known:
                    continue
            yield "|".join((name, *namespace)), text

    def _remember(self, values: Any) -> None:
        self.values = values
        if isinstance(values, dict) and INTERRUPT in values:
            # What parallel tasks that did finish wrote comes in a chunk of its own behind this one.
            self.interrupted = True
            self.values = {name: value for name, value in values.items() if name != INTERRUPT}

    def _named(self, mode: str, data: Any) -> Iterator[tuple[str, Any]]:
        if mode != MESSAGES:
            if mode in self.asked:
                yield mode, data
            return
        if MESSAGES_TUPLE in self.asked:
            yield MESSAGES, data
        if MESSAGES in self.asked:
            yield from self._whole_messages(*data)

    def _whole_messages(self, message: BaseMessage, metadata: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        known = self._partial.get(message.id or "")
        if known is None:
            yield "messages/metadata", {message.id: {"metadata": metadata}}
        if not isinstance(message, BaseMessageChunk):
            yield "messages/complete", [message]
            return
        whole = known + message if isinstance(known, BaseMessageChunk) else message
        self._partial[message.id or ""] = whole
        yield "messages/partial", [whole]
