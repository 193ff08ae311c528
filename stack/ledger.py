"""Reads from Django's database what was done in a run: the ledger, and the tasks it led to."""

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
SELECT count(*) AS drafted,
       count(*) FILTER (WHERE task.verified) AS verified,
       count(*) FILTER (WHERE task.active AND EXISTS (
           SELECT 1 FROM mandate_approval AS approval
           JOIN mandate_toolcall AS asked ON asked.id = approval.tool_call_id
           WHERE asked.run_id = %(run)s AND approval.status = 'approved'
             AND (asked.arguments ->> 'task_id')::bigint = task.id
       )) AS published
FROM practice_task AS task
WHERE task.id IN (
    SELECT (added ->> 'task_id')::bigint
    FROM mandate_toolcall AS call, json_array_elements(call.response -> 'result' -> 'tasks') AS added
    WHERE call.run_id = %(run)s AND call.tool = 'add_tasks' AND call.status = 'succeeded'
)
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
    """What a run's tasks have become."""

    drafted: int
    verified: int
    published: int


def calls(connection: psycopg.Connection, run_id: str) -> list[Call]:
    """Return a run's tool calls, in the order in which they were done."""
    with connection.cursor(row_factory=class_row(Call)) as cursor:
        return cursor.execute(_CALLS, [run_id]).fetchall()


def count(connection: psycopg.Connection, run_id: str) -> Counts:
    """Count the tasks that a run drafted, and how far they came."""
    with connection.cursor(row_factory=class_row(Counts)) as cursor:
        counted = cursor.execute(_COUNTS, {"run": run_id}).fetchone()
    assert counted is not None
    return counted
