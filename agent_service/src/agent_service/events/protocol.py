"""The agent streaming protocol: what a run's recorded events say in it.

Pure: the same rows give the same events with the same numbers, whoever reads them, whatever it asks for.
An event's number is made of its run's number within the thread, of its row's within the run, and of its place
within the row; together they fit into what JavaScript counts exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import orjson

from agent_service.events import protocol_filter, protocol_messages, protocol_subgraphs, telling, threads

Json = dict[str, Any]
Namespace = tuple[str, ...]

ROW_BITS, PLACE_BITS = 21, 12
_KIND_BITS = 3

INTERRUPT = "__interrupt__"
ROOT: Namespace = ()

CANCELLED = "The run was cancelled."


class Kind(IntEnum):
    """In this order stand the events that one row gives."""

    BEGINNING = 0
    CHECKPOINT = 1
    VALUES = 2
    MESSAGES = 3
    OWN = 4
    INPUT = 5
    ENDING = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a run's rows do not say."""

    run_id: str
    number: int
    """Within its thread."""

    graph: str
    answered: Sequence[str] = ()
    """Interrupts that it resumes."""

    has_checkpoints: bool = False
    """Its rows hold one for each of its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended."""

    cancelled: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the protocol."""

    seq: int
    time: int
    """Milliseconds since 1970."""

    run_id: str
    method: str
    namespace: Namespace
    data: Any
    node: str | None = None

    @property
    def position(self) -> str:
        """Return what a client that reconnects names."""
        return f"{self.time}-{self.seq}"

    @property
    def id(self) -> str:
        """Return the position; for the run's own beginning and end in the shape that JavaScript reads its id from."""
        own = self.method == "lifecycle" and self.namespace == ROOT
        return f"synth:{self.run_id}:{self.position}" if own else self.position

    def wire(self) -> bytes:
        params: Json = {"namespace": self.namespace, "timestamp": self.time, "data": self.data}
        if self.node is not None:
            params["node"] = self.node
        return orjson.dumps(
            {
                "type": "event",
                "event_id": self.id,
                "seq": self.seq,
                "method": self.method,
                "params": params,
            },
            option=orjson.OPT_NON_STR_KEYS,
        )


class _Said(NamedTuple):
    kind: Kind
    method: str
    namespace: Namespace
    data: Any
    node: str | None = None


def first(number: int) -> int:
    """Return the number before all events of a thread's run, and behind those of the runs before it."""
    return number << (ROW_BITS + PLACE_BITS)


def run_of(seq: int) -> int:
    """Return the number of the run that an event belongs to."""
    return seq >> (ROW_BITS + PLACE_BITS)


def rows_for(wanted: protocol_filter.Filter) -> threads.Wanted | None:
    """Return which rows have to be read at all; `None` is each."""
    channels = wanted.channels
    if "values" in channels:
        # They are told with the row behind them, whichever it is.
        return None
    names = channels | {"metadata", telling.END}
    if wanted.has_custom:
        names |= {"custom"}
    if "messages" in channels:
        names |= {"updates"}
    if channels & {"lifecycle", "messages"}:
        names |= {"tasks"}
    return threads.Wanted(names=names, with_text=f'"{INTERRUPT}"')


@dataclass(slots=True, kw_only=True)
class Translation:
    """Reads the rows of one run, from its first."""

    about: About
    wanted: protocol_filter.Filter
    """Rows that it does not need are not looked into; the numbers of the others stay the same."""

    _messages: protocol_messages.Messages = field(default_factory=protocol_messages.Messages)
    _subgraphs: protocol_subgraphs.Subgraphs = field(default_factory=protocol_subgraphs.Subgraphs)
    _requested: set[str] = field(default_factory=set)
    _begun: bool = False
    _stands: bool = False
    _held: tuple[Namespace, Json] | None = None
    """Values that wait for the next row: their checkpoint is recorded behind them, and told before."""

    def events(self, row: telling.RunEvent, ending: Ending | None = None) -> Iterator[Event]:
        """Yield what a row says; `ending` is given with the last one."""
        places = [0] * len(Kind)
        time = round(row.created_at.timestamp() * 1000)
        base = first(self.about.number) + (row.seq << PLACE_BITS)
        for said in sorted(self._said(row, ending), key=lambda said: said.kind):
            seq = base + (said.kind << (PLACE_BITS - _KIND_BITS)) + places[said.kind]
            places[said.kind] += 1
            if self.wanted.admits(said.method, said.namespace, said.data):
                yield Event(
                    seq=seq,
                    time=time,
                    run_id=self.about.run_id,
                    method=said.method,
                    namespace=said.namespace,
                    data=said.data,
                    node=said.node,
                )

    def _said(self, row: telling.RunEvent, ending: Ending | None) -> Iterator[_Said]:
        name, *namespace = row.event.split("|")
        if self._held is not None:
            (where, values), self._held = self._held, None
            yield _Said(Kind.VALUES, "values", where, values)
        if ending is not None:
            yield from self._end(ending)
        elif self._needs(name, row.data):
            yield from self._read(name, tuple(namespace), orjson.loads(row.data))

    def _read(self, name: str, namespace: Namespace, data: Any) -> Iterator[_Said]:
        match name:
            case "metadata":
                yield from self._begin()
            case "values":
                yield from self._values(namespace, data)
            case "checkpoints":
                yield _Said(Kind.CHECKPOINT, "checkpoints", namespace, _checkpoint(data))
            case "updates":
                yield from self._updates(namespace, data)
            case "messages":
                yield from self._parts(self._messages.take(namespace, *data))
            case "custom":
                named = isinstance(data, dict) and isinstance(data.get("name"), str)
                yield _Said(Kind.OWN, "custom", namespace, data if named else {"payload": data})
            case "tools":
                yield _Said(Kind.OWN, "tools", namespace, data)
            case "tasks":
                yield from self._tasks(namespace, data)

    def _needs(self, name: str, data: str) -> bool:
        channels = self.wanted.channels
        if name in channels or name == "metadata" or (name == "custom" and self.wanted.has_custom):
            return True
        if name in {"values", "updates"}:
            return INTERRUPT in data or (name == "updates" and "messages" in channels)
        return name == "tasks" and bool(channels & {"lifecycle", "messages"})

    def _begin(self) -> Iterator[_Said]:
        if self._begun:
            self._stands = False
            yield from self._parts(self._messages.begin_again())
            return
        self._begun = True
        yield self._lifecycle(Kind.BEGINNING, {"event": "running"})
        if self.about.answered:
            yield _Said(Kind.BEGINNING, "input.answered", ROOT, {"interrupt_ids": list(self.about.answered)})

    def _values(self, namespace: Namespace, data: Any) -> Iterator[_Said]:
        if isinstance(data, dict) and INTERRUPT in data:
            yield from self._interrupts(namespace, data[INTERRUPT])
            data = {name: value for name, value in data.items() if name != INTERRUPT}
        if self.about.has_checkpoints:
            self._held = (namespace, data)
        else:
            yield _Said(Kind.VALUES, "values", namespace, data)

    def _updates(self, namespace: Namespace, data: Json) -> Iterator[_Said]:
        for node, values in data.items():
            if node == INTERRUPT:
                yield from self._interrupts(namespace, values)
            else:
                yield from self._parts(self._messages.close(namespace, node))
                yield _Said(Kind.OWN, "updates", namespace, {"node": node, "values": values}, node)

    def _tasks(self, namespace: Namespace, data: Json) -> Iterator[_Said]:
        yield _Said(Kind.OWN, "tasks", namespace, data)
        if "result" not in data:
            for child, begun in self._subgraphs.begin(namespace, data):
                yield _Said(Kind.BEGINNING, "lifecycle", child, begun)
            return
        yield from self._parts(self._messages.close(namespace, data["name"]))
        for child, ended in self._subgraphs.end(namespace, data):
            yield _Said(Kind.ENDING, "lifecycle", child, ended)

    def _interrupts(self, namespace: Namespace, interrupts: Sequence[Json]) -> Iterator[_Said]:
        self._stands = True
        for item in interrupts:
            # The innermost graph says it first; those around it repeat it.
            if item["id"] not in self._requested:
                self._requested.add(item["id"])
                asked = {"interrupt_id": item["id"], "payload": item["value"], "value": item["value"]}
                yield _Said(Kind.INPUT, "input.requested", namespace, asked)

    def _end(self, ending: Ending) -> Iterator[_Said]:
        yield from self._parts(self._messages.close())
        outcome = self._outcome(ending)
        for child, ended in self._subgraphs.end_all(outcome):
            yield _Said(Kind.ENDING, "lifecycle", child, ended)
        yield self._lifecycle(Kind.ENDING, outcome)

    def _outcome(self, ending: Ending) -> Json:
        # Python's client knows no other end than these: one that was only interrupted would keep it waiting.
        if ending.cancelled:
            return {"event": "failed", "error": CANCELLED, "code": "cancelled"}
        if ending.error is not None:
            return {"event": "failed", "error": ending.error}
        return {"event": "interrupted" if self._stands else "completed"}

    def _lifecycle(self, kind: Kind, data: Json) -> _Said:
        about = {"graph_name": self.about.graph, "run_id": self.about.run_id}
        return _Said(kind, "lifecycle", ROOT, about | data)

    def _parts(self, parts: Iterator[protocol_messages.Part]) -> Iterator[_Said]:
        for part in parts:
            yield _Said(Kind.MESSAGES, "messages", part.namespace, part.data, part.node)


def _checkpoint(state: Json) -> Json:
    configurable, parent = state["config"]["configurable"], state.get("parent_config") or {}
    about = {
        "id": configurable["checkpoint_id"],
        "parent_id": parent.get("configurable", {}).get("checkpoint_id"),
        "step": state["metadata"]["step"],
        "source": state["metadata"]["source"],
    }
    return {name: value for name, value in about.items() if value is not None}
