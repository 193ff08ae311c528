"""Reads from Django's database what was done in runs: the ledger, and the tasks it led to."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

_CALLS = """
SELECT call.id::text, call.tool, call.arguments, call.status, call.response, account.username AS agent
FROM mandate_toolcall AS call
JOIN auth_user AS account ON account.id = call.agent_user_id
WHERE call.run_id = %s
ORDER BY call.finished_at NULLS LAST, call.created_at
"""

_COUNTS = """
WITH call AS (
    SELECT * FROM mandate_toolcall WHERE run_id = ANY(%(runs)s::uuid[])
), task AS (
    SELECT * FROM practice_task WHERE id IN (
        SELECT (added ->> 'task_id')::bigint
        FROM call, json_array_elements(call.response -> 'result' -> 'tasks') AS added
        WHERE call.tool = 'add_tasks' AND call.status = 'succeeded'
    )
), decided AS (
    SELECT approval.status, (call.arguments ->> 'task_id')::bigint AS task_id
    FROM mandate_approval AS approval JOIN call ON call.id = approval.tool_call_id
)
SELECT (SELECT count(DISTINCT agent_user_id) FROM call) AS agents,
       count(*) AS drafted,
       count(*) FILTER (WHERE verified) AS verified,
       count(*) FILTER (WHERE active AND id IN (SELECT task_id FROM decided WHERE status = 'approved')) AS published,
       count(*) FILTER (WHERE NOT active AND id IN (SELECT task_id FROM decided WHERE status = 'rejected')) AS declined
FROM task
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One row of the ledger."""

    id: str
    tool: str
    arguments: dict[str, Any]
    status: str
    response: dict[str, Any] | None
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Who wrote tasks, and what they have become."""

    agents: int
    """Accounts that called tools."""

    drafted: int
    verified: int
    published: int
    """Seen by students, by an approved call."""

    declined: int
    """Kept as drafts by a person who was asked."""


def calls(connection: psycopg.Connection, run_id: str) -> list[Call]:
    """Return a run's tool calls, in the order in which they were done."""
    with connection.cursor(row_factory=class_row(Call)) as cursor:
        return cursor.execute(_CALLS, [run_id]).fetchall()


def count(connection: psycopg.Connection, run_ids: Collection[str]) -> Counts:
    """Count the tasks that runs drafted, and how far they came."""
    with connection.cursor(row_factory=class_row(Counts)) as cursor:
        counted = cursor.execute(_COUNTS, {"runs": list(run_ids)}).fetchone()
    assert counted is not None
    return counted
