"""Runs an SQL solution against its tests, each in a database that exists for it alone."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from practice import sandbox, schemas

MESSAGE = "It gives other rows than the test expects."


def verify(
    query: str, *, create: str, tests: Sequence[schemas.SqlTest], limits: sandbox.Limits | None = None
) -> schemas.Verdict:
    """Run a query on the tables of each test and compare its rows.

    The databases are SQLite's, in the memory of a process that has neither network nor files: what an agent
    writes never meets the server that holds the business data.
    """
    job = {
        "solution": query,
        "create": create,
        "inputs": [[table.model_dump() for table in test.tables] for test in tests],
    }
    heard = sandbox.run(job, limits=limits or sandbox.Limits())
    facts = list(heard.facts())
    answers = {fact.case: fact for fact in facts if fact.case is not None}
    failures = [
        failure
        for number, test in enumerate(tests)
        if number in answers and (failure := _failure_of(answers[number], test=test))
    ]
    return sandbox.verdict(
        facts, failures, tests=len(tests), stopped=heard.stopped, asked=lambda case: _asked(tests[case])
    )


def _failure_of(fact: sandbox.Fact, *, test: schemas.SqlTest) -> schemas.Failure | None:
    input_, expected = _asked(test)
    if fact.error is not None:
        return sandbox.raised(fact, input_=input_, expected=expected)
    if _fits(fact.value, test):
        return None
    return schemas.Failure(
        outcome=schemas.Outcome.WRONG_ANSWER,
        message=f"{MESSAGE} Their order counts." if test.in_order else MESSAGE,
        input=input_,
        expected=expected,
        actual=sandbox.storable(fact.value),
    )


def _fits(rows: list[JsonValue], test: schemas.SqlTest) -> bool:
    expected: list[JsonValue] = [_as_sqlite(row) for row in test.expected]
    if test.in_order:
        return sandbox.same(rows, expected)
    left = list(rows)
    for row in expected:
        place = next((number for number, one in enumerate(left) if sandbox.same(one, row)), None)
        if place is None:
            return False
        left.pop(place)
    return not left


def _as_sqlite(row: Sequence[schemas.Cell]) -> JsonValue:
    return [int(cell) if isinstance(cell, bool) else cell for cell in row]


def _asked(test: schemas.SqlTest) -> tuple[str, JsonValue]:
    rows = json.dumps({table.table: table.rows for table in test.tables}, ensure_ascii=False)
    return rows[: sandbox.LONGEST], [list(row) for row in test.expected]
