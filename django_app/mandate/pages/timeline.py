"""A run's story as lines to read: what an entry of the audit says to a person."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractUser

from mandate import models
from mandate.models import AgentOwned
from mandate.pages import linking
from mandate.selectors import audit
from shared_schemas.audit import Entry, Event

QUIET = frozenset(
    {
        Event.SESSION_OPENED,
        Event.SESSION_CLOSED,
        Event.MESSAGE_WRITTEN,
        Event.MESSAGE_DELIVERED,
        Event.WEBHOOK_RECEIVED,
    }
)
"""How the two sides talk to each other; folded away."""

TITLES = {
    Event.CREATED: "Started",
    Event.CANCELLED: "Cancelled",
    Event.RESUMED: "Resumed",
    Event.LIMITS_RAISED: "Limits changed",
    Event.MANDATE_REVOKED: "Mandate revoked",
    Event.MESSAGE_WRITTEN: "Message written",
    Event.MESSAGE_DELIVERED: "Message delivered",
    Event.MESSAGE_DEAD: "Message given up",
    Event.MESSAGE_REDELIVERED: "Message delivered again by hand",
    Event.WEBHOOK_RECEIVED: "Webhook received",
    Event.SESSION_OPENED: "A worker took it up",
    Event.SESSION_CLOSED: "A worker laid it down",
    Event.REFUSED: "Refused",
    Event.UNDONE: "Undone",
    Event.APPROVAL_ASKED: "A person is asked",
    Event.APPROVAL_WARNED: "The time to decide is running out",
    Event.APPROVAL_DECIDED: "Decided",
    Event.DECISION_REFUSED: "A decision was refused",
    Event.DRAFT_REVIEWED: "Draft reviewed",
}

_BAD = frozenset({Event.REFUSED, Event.MESSAGE_DEAD, Event.DECISION_REFUSED, Event.MANDATE_REVOKED})

_SHOWN = frozenset(
    {"arguments", "answer", "input", "edited_arguments", "tools", "limits", "difference", "body"}
)
"""Details that are shown folded, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened, to be read."""

    at: datetime
    kind: str
    title: str
    by: str
    tone: str
    """`good`, `bad`, `wait` or nothing."""

    mark: str
    """That it was done before, in a word; nothing for what happened once."""

    quiet: bool
    text: str
    folded: list[tuple[str, str]]
    """Headings and JSON."""

    tool_call: UUID | None
    approval: str
    """The id of the approval it is about."""

    drafts: list[AgentOwned]
    """What the call touched of the agent's own."""


_TOUCHING = frozenset({Event.ANSWERED, Event.APPROVAL_ASKED})


def of(run: models.Run, *, reader: AbstractUser) -> list[Line]:
    """Return the lines of a run that `runs.detailed` read, oldest first."""
    entries = audit.story(run).entries
    calls = {entry.tool_call for entry in entries if entry.tool_call}
    touched = linking.drafts_of(calls, made_for=run.started_by, reader=reader)
    return [
        _line(entry, touched.get(entry.tool_call, []) if entry.tool_call and entry.event in _TOUCHING else [])
        for entry in entries
    ]


def _line(entry: Entry, drafts: list[AgentOwned]) -> Line:
    details = entry.details
    return Line(
        at=entry.at,
        kind=entry.event.value,
        title=_title(entry),
        by=entry.by or "",
        tone=_tone(entry),
        mark=_mark(entry),
        quiet=entry.event in QUIET,
        text=_text(entry),
        folded=[(name.replace("_", " "), pretty(details[name])) for name in details if name in _SHOWN],
        tool_call=entry.tool_call,
        approval=str(details.get("approval", "")),
        drafts=drafts,
    )


def _title(entry: Entry) -> str:
    match entry.event:
        case Event.MOVED:
            return f"Now {str(entry.details['to']).replace('_', ' ')}"
        case Event.CALLED:
            return f"Calls {entry.details['tool']}"
        case Event.ANSWERED:
            return f"{entry.details['tool']}: {str(entry.details['status']).replace('_', ' ')}"
        case Event.REPLAYED:
            return f"{entry.details['tool']}: asked again, answered from the ledger"
    return TITLES[entry.event]


def _text(entry: Entry) -> str:
    details = entry.details
    match entry.event:
        case Event.MOVED:
            return str(details.get("message", ""))
        case Event.CREATED:
            return f"{details['agent']} with {details['model']}"
        case Event.CALLED:
            return "The same call as before." if details.get("repeat_of") else ""
        case Event.ANSWERED:
            return f"Asked for {details['replays'] + 1} times." if details.get("replays") else ""
        case Event.SESSION_OPENED:
            return "It took over from another one." if details.get("takeover") else ""
    told = (details.get(name) for name in ("message", "comment", "code", "status", "topic", "last_error"))
    tries = f"{details['attempts']} tries" if details.get("attempts", 1) > 1 else ""
    return ", ".join(str(value) for value in (*told, tries) if value)


def _mark(entry: Entry) -> str:
    details = entry.details
    if entry.event is Event.REPLAYED or (entry.event is Event.ANSWERED and details.get("replays")):
        return "replay"
    if details.get("repeat_of"):
        return "repeat"
    tried = details.get("attempts", 1) > 1
    return "retry" if tried or details.get("takeover") or entry.event is Event.RESUMED else ""


def _tone(entry: Entry) -> str:
    status = entry.details.get("to", entry.details.get("status"))
    if entry.event in _BAD or status in {
        "failed",
        "rejected",
        "expired",
    }:
        return "bad"
    if entry.event is Event.APPROVAL_ASKED or status in {"awaiting_approval", "pending_approval"}:
        return "wait"
    return "good" if status in {"completed", "succeeded", "approved"} else ""


def pretty(value: Any) -> str:
    """Return JSON that a person can read."""
    return json.dumps(value, ensure_ascii=False, indent=2)
