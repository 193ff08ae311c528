import re
from pathlib import Path

import pytest
from django.db import connection
from pydantic import BaseModel
from rest_framework import exceptions as rest

from mandate import testing, tools
from mandate.api import problems
from shared_schemas.problems import ErrorCode

DOCUMENTED = Path(__file__).parents[4] / "docs" / "reference" / "errors.md"


class Nothing(tools.Schema):
    pass


class Done(BaseModel):
    pass


def test_every_code_is_answered_with_the_status_that_is_documented():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", DOCUMENTED.read_text(), re.MULTILINE)

    assert {code: int(status) for code, status in rows} == {
        code.value: int(problems.STATUSES[code]) for code in ErrorCode
    }


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (rest.Throttled(wait=7), ErrorCode.TOO_MANY_REQUESTS, "7 seconds"),
        (rest.ValidationError({"name": ["Too long."]}), ErrorCode.INVALID_REQUEST, "name: Too long."),
        (rest.APIException("Odd."), ErrorCode.INTERNAL, "Odd."),
    ],
)
def test_errors_of_the_framework_are_problems_too(error, code, detail):
    problem = problems.of(error)

    assert problem.code == code
    assert detail in problem.detail


@pytest.mark.django_db(transaction=True)
def test_a_lost_database_asks_for_the_same_again(post_call, start_run, declare, problem_of):
    def lose(_context: tools.Context, _call: Nothing) -> Done:
        """Lose the connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return Done()

    tool = declare(lose)
    token, key = testing.token_of(start_run(tool)), testing.new_key()

    response = post_call(token, tool, {}, key=key)

    connection.close()
    assert problem_of(response) == (503, "unavailable")
    assert response["Retry-After"] == "1"
