"""Judges a sequence by what the database did, written down by triggers, and by what was answered.

A trigger on every table notes each change in the transaction that makes it: what is rolled back is not there,
and no change can be forgotten.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from django.db import connection

from mandate import models
from practice.models import Task
from tests.chaos.attacker import world

AUDIT = "attack_audit"
_SETUP = f"""
    CREATE TABLE {AUDIT} (id bigserial PRIMARY KEY, name text, op text, old jsonb, new jsonb);
    CREATE FUNCTION {AUDIT}_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO {AUDIT} (name, op, old, new) VALUES (TG_TABLE_NAME, TG_OP,
            CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
        RETURN NULL;
    END $$;
    DO $$ DECLARE one text; BEGIN
        FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '{AUDIT}' LOOP
            EXECUTE format('CREATE TRIGGER {AUDIT} AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH ROW EXECUTE FUNCTION {AUDIT}_note()', one);
        END LOOP;
    END $$;
"""
_TEARDOWN = f"DROP FUNCTION {AUDIT}_note() CASCADE; DROP TABLE {AUDIT}"


class Kind(StrEnum):
    """Which promise was broken."""

    OUTSIDE = "outside"
    """Something that is not the run's was read or written."""

    LEDGER = "ledger"
    """The ledger and the records tell two stories."""

    OVERSPENT = "overspent"
    UNAPPROVED = "unapproved"
    AFTER_CANCEL = "after_cancel"
    ANSWER = "answer"
    """An answer that nobody planned."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken promise."""

    kind: Kind
    detail: str


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What was seen of one sequence or of many, and what must never be."""

    seen: Counter[str] = field(default_factory=Counter)
    """Answers by tool status, code or decision."""

    faults: list[Fault] = field(default_factory=list)
    effects: int = 0
    """Calls that changed something."""

    def add(self, other: "Verdict", *, name: str) -> None:
        """Take another verdict into this one."""
        self.seen += other.seen
        self.effects += other.effects
        self.faults += [Fault(fault.kind, f"{name}: {fault.detail}") for fault in other.faults]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one sequence did, as seen from outside."""

    mandate: world.Mandate
    bodies: list[bytes]
    reads: Counter[str]
    """Answered reads by tool."""

    approved: set[str]
    """Approvals that a person was told to have approved."""

    cancelled_at: int | None
    """The latest note of the triggers when a cancel had answered."""


def install() -> None:
    """Start to note changes."""
    _execute(_SETUP)


def remove() -> None:
    _execute(_TEARDOWN)


def latest() -> int:
    """Return the number of the latest note."""
    return int(_query(f"SELECT COALESCE(max(id), 0) FROM {AUDIT}")[0][0])


def faults_of(done: Done, *, since: int) -> Iterator[Fault]:
    """Yield everything that a promise forbids."""
    yield from _outside(done, since)
    yield from _leaks(done)
    yield from _effects(done)
    yield from _overspending(done)
    yield from _forgeries(done)
    if done.cancelled_at is not None:
        late = _query(
            f"SELECT name, new FROM {AUDIT} WHERE id > %s AND name LIKE 'practice%%'",
            done.cancelled_at,
        )
        yield from (Fault(Kind.AFTER_CANCEL, f"{name} {row}") for name, row in late)


def _outside(done: Done, since: int) -> Iterator[Fault]:
    run, account = str(done.mandate.run.pk), done.mandate.run.agent.user_id
    calls = {str(pk) for pk in done.mandate.run.tool_calls.values_list("pk", flat=True)}
    for name, op, old, new in _query(f"SELECT name, op, old, new FROM {AUDIT} WHERE id > %s", since):
        rows = [json.loads(row) for row in (old, new) if row is not None]
        if name == "mandate_run":
            ours = all(row["id"] == run for row in rows)
        elif name == "mandate_draftreview":
            ours = all(row["agent_id"] == done.mandate.run.agent_id for row in rows)
        elif name.startswith("mandate_") and "run_id" in rows[0]:
            ours = all(row["run_id"] == run for row in rows)
        elif name == "mandate_toolcalllink":
            ours = all(row["tool_call_id"] in calls for row in rows)
        else:
            ours = name == "practice_task" and all(row["ai_user_id"] == account for row in rows)
        if not ours:
            yield Fault(Kind.OUTSIDE, f"{op} {name} {old} {new}")


def _leaks(done: Done) -> Iterator[Fault]:
    for body in done.bodies:
        if world.SECRET.encode() in body:
            yield Fault(Kind.OUTSIDE, f"read {body[:500]!r}")


def _effects(done: Done) -> Iterator[Fault]:
    succeeded = done.mandate.run.tool_calls.filter(status="succeeded")
    answered = [call.response["result"]["tasks"] for call in succeeded.filter(tool="add_tasks")]
    ids = [task["task_id"] for tasks in answered for task in tasks]
    ids += [task.pk for task in done.mandate.tasks]
    own = set(Task.objects.filter(ai_user=done.mandate.run.agent.user_id).values_list("pk", flat=True))
    if sorted(ids) != sorted(own):
        yield Fault(Kind.LEDGER, f"the ledger says {sorted(ids)}, the tasks are {sorted(own)}")


def _overspending(done: Done) -> Iterator[Fault]:
    limits = done.mandate.limits
    kept = done.mandate.run.tool_calls.exclude(status__in=["repeated", "refused"])
    writes = Counter(kept.values_list("tool", flat=True))
    calls = writes + done.reads
    if limits.tool_calls is not None and calls.total() > limits.tool_calls:
        yield Fault(Kind.OVERSPENT, f"{calls.total()} calls, at most {limits.tool_calls}")
    if limits.writes is not None and writes.total() > limits.writes:
        yield Fault(Kind.OVERSPENT, f"{writes.total()} writes, at most {limits.writes}")
    for tool, most in limits.calls_per_tool.items():
        if calls[tool] > most:
            yield Fault(Kind.OVERSPENT, f"{calls[tool]} calls of {tool}, at most {most}")


def _forgeries(done: Done) -> Iterator[Fault]:
    run = done.mandate.run
    approvals = models.Approval.objects.filter(run=run, status="approved").select_related("tool_call")
    if {str(approval.pk) for approval in approvals} != done.approved:
        yield Fault(Kind.UNAPPROVED, f"approved are {approvals}, people approved {done.approved}")
    asked = [approval.arguments["task_id"] for approval in approvals]
    performed = run.tool_calls.filter(tool="publish_task", status="succeeded")
    if sorted(call.arguments["task_id"] for call in performed) != sorted(asked):
        done_as = [call.arguments for call in performed]
        yield Fault(Kind.UNAPPROVED, f"done were {done_as}, approved were {asked}")
    active = set(Task.objects.filter(ai_user=run.agent.user_id, active=True).values_list("pk", flat=True))
    if active != set(asked):
        yield Fault(Kind.UNAPPROVED, f"published are {active}, approved were {asked}")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _query(statement: str, *values: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
