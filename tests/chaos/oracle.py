"""Judges by both databases what became of a scenario's runs. It believes no answer and no log."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos import errands, graph, house

_MARKS = "SELECT run_id::text, name, sealed, key FROM marks_mark WHERE run_id = ANY(%s::uuid[])"
_CALLS = """
    SELECT call.run_id::text, call.key, call.tool, call.status, call.arguments ->> 'name',
           approval.status, coalesce(approval.edited_arguments, approval.arguments) ->> 'name'
    FROM mandate_toolcall AS call LEFT JOIN mandate_approval AS approval ON approval.tool_call_id = call.id
    WHERE call.run_id = ANY(%s::uuid[])
"""
_KNOWN = "SELECT count(*) FROM mandate_run WHERE idempotency_key = ANY(%s)"
_STATES = "SELECT thread_id::text, state_values FROM threads WHERE thread_id = ANY(%s::uuid[])"

_FAILURES = "SELECT id::text, error_code, error_message FROM mandate_run WHERE id = ANY(%s::uuid[])"

EXPECTED = {*graph.DIRECT, *graph.ASKED, graph.LAST}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """One line of the table; every figure but the first three must be nothing."""

    scenario: str
    seed: int
    runs: int = 0
    crashes: int = 0
    effects: int = 0
    lost: int = 0
    """Accepted runs that are gone; effects that a run was told of, or ended without, and that are not there."""

    duplicated: int = 0
    """Effects that were done twice, or that the ledger does not know."""

    stuck: int = 0
    """Runs that one of the sides has not ended, or that failed."""

    unapproved: int = 0
    """Sealed marks without an approval of exactly their arguments."""

    after_cancel: int = 0
    """Effects that were not there when the cancel was answered."""

    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    """What else was measured."""

    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck or self.unapproved or self.after_cancel)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Mark:
    run_id: str
    name: str
    sealed: bool
    key: str


@dataclass(frozen=True, slots=True)
class _Call:
    run_id: str
    key: str
    tool: str
    status: str
    name: str
    approval: str | None
    shown: str | None


def judge(verdict: Verdict, crowd: errands.Crowd) -> Verdict:
    """Add what both databases say about a crowd's runs."""
    run_ids = crowd.run_ids
    marks = [_Mark(*row) for row in crowd.django.execute(_MARKS, [run_ids]).fetchall()]
    calls = [_Call(*row) for row in crowd.django.execute(_CALLS, [run_ids]).fetchall()]
    verdict.runs += len(crowd.errands)
    verdict.effects += len(marks)
    verdict.lost += _gone(crowd) + _missing(crowd, marks, calls)
    verdict.duplicated += _surplus(marks, calls)
    verdict.stuck += _stuck(crowd, verdict.notes)
    verdict.unapproved += _unapproved(crowd.errands, marks, calls)
    verdict.after_cancel += _late(crowd.errands, marks)
    return verdict


def _gone(crowd: errands.Crowd) -> int:
    accepted = [errand.key for errand in crowd.errands if errand.run_id]
    return len(accepted) - _count(crowd.django, _KNOWN, accepted)


def _missing(crowd: errands.Crowd, marks: list[_Mark], calls: list[_Call]) -> int:
    """Count marks that should be there: by a run's end, by the ledger, and by what the graph believes."""
    there = _names(marks)
    owed: dict[str, set[str]] = defaultdict(set)
    for errand in crowd.errands:
        if errand.run_id and errand.status == "completed":
            owed[errand.run_id] |= EXPECTED | ({graph.SEALED} if errand.ending == "approve" else set())
    for call in calls:
        if call.status == "succeeded":
            owed[call.run_id].add(call.name)
    for run_id, values in crowd.agent.execute(_STATES, [crowd.run_ids]).fetchall():
        owed[run_id] |= _believed(values or {})
    return sum(len(names - there[run_id]) for run_id, names in owed.items())


def _believed(values: dict[str, Any]) -> set[str]:
    told = (message.get("artifact") or {} for message in values.get("messages", ()))
    results = [artifact["result"]["name"] for artifact in told if artifact.get("status") == "succeeded"]
    return {*values.get("seen", ()), *results}


def _surplus(marks: list[_Mark], calls: list[_Call]) -> int:
    repeated = Counter((mark.run_id, mark.name) for mark in marks)
    known = {(call.run_id, call.key) for call in calls if call.status == "succeeded"}
    unknown = sum((mark.run_id, mark.key) not in known for mark in marks)
    return sum(count - 1 for count in repeated.values()) + unknown


def _stuck(crowd: errands.Crowd, notes: list[str]) -> int:
    unfinished = crowd.unfinished() | crowd.undelivered()
    bad = [
        errand
        for errand in crowd.errands
        if not errand.is_done or errand.status == "failed" or errand.run_id in unfinished
    ]
    why = {
        run_id: f"{code} {text}" for run_id, code, text in crowd.django.execute(_FAILURES, [crowd.run_ids])
    }
    notes.extend(
        f"{errand.run_id} wanted to {errand.ending}, is {errand.status!r} {why.get(errand.run_id or '')}"
        for errand in bad
    )
    return len(bad)


def _unapproved(people: list[errands.Errand], marks: list[_Mark], calls: list[_Call]) -> int:
    allowed = {(call.run_id, call.key, call.shown) for call in calls if call.approval == "approved"}
    refused = {errand.run_id for errand in people if errand.ending == "reject"}
    return sum(
        mark.sealed and ((mark.run_id, mark.key, mark.name) not in allowed or mark.run_id in refused)
        for mark in marks
    )


def _late(people: list[errands.Errand], marks: list[_Mark]) -> int:
    now = Counter(mark.run_id for mark in marks)
    return sum(
        now[errand.run_id or ""] - errand.effects_at_cancel
        for errand in people
        if errand.effects_at_cancel is not None
    )


def _names(marks: Iterable[_Mark]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = defaultdict(set)
    for mark in marks:
        names[mark.run_id].add(mark.name)
    return names


def _count(connection: house.Database, statement: str, values: list[str]) -> int:
    row = connection.execute(statement, [values]).fetchone()
    assert row is not None
    return int(row[0])
