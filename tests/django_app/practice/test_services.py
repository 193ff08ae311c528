import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from practice import models, schemas, services

WRONG = "def double(number):\n    return number\n"


@pytest.fixture
def verified(make_task):
    task = make_task()
    services.record_verdict(task, services.check(task))
    return task


def test_drafts_belong_to_the_agent_and_are_hidden(module, draft, agent_user):
    added = services.add_drafts(module=module, tasks=[draft, draft], by=agent_user)

    assert [(task.ai_user, task.active, task.verified) for task in added] == [(agent_user, False, False)] * 2


def test_a_solution_that_passes_verifies_its_task(verified):
    verified.refresh_from_db()

    assert verified.verified
    assert verified.verdict["passed"]


def test_a_solution_that_fails_leaves_its_verdict_on_the_task(make_task):
    task = make_task(solution=WRONG)

    services.record_verdict(task, services.check(task))

    task.refresh_from_db()
    assert not task.verified
    assert task.verdict["failures"][0]["actual"] == 2


@pytest.mark.parametrize("missing", [{"tests": []}, {"solution": ""}], ids=["tests", "solution"])
def test_a_task_without_tests_or_solution_cannot_be_checked(make_task, missing):
    with pytest.raises(ValidationError, match="needs its tests and its solution"):
        services.check(make_task(**missing))


def test_a_task_in_sql_is_checked_against_its_tables(make_task, sql_module):
    task = make_task(module=sql_module, solution="SELECT 2 * number FROM given", tests=[])
    rows = [schemas.SqlTable(table="given", rows=[[2]])]
    test = schemas.SqlTest(tables=rows, expected=[[4]])
    services.set_sql_tests(task, [test], create="CREATE TABLE given (number integer)")

    checked = services.check(task)

    assert checked.verdict.passed


def test_tests_of_another_language_are_refused(make_task, sql_module, module):
    python, sql = make_task(), make_task(module=sql_module)
    test = schemas.SqlTest(tables=[], expected=[])

    with pytest.raises(ValidationError, match="use 'add_task_tests'"):
        services.set_sql_tests(python, [test], create="CREATE TABLE given (number integer)")
    with pytest.raises(ValidationError, match="use 'add_sql_tests'"):
        services.set_tests(sql, [schemas.TaskTest(input="1", expected=1)])


def test_a_verdict_on_an_earlier_solution_is_refused(make_task):
    task = make_task()
    checked = services.check(task)
    services.set_solution(task, WRONG)

    with pytest.raises(ValidationError, match="changed during the verification"):
        services.record_verdict(task, checked)

    task.refresh_from_db()
    assert not task.verified


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda task: services.set_solution(task, WRONG), id="solution"),
        pytest.param(
            lambda task: services.set_tests(task, [schemas.TaskTest(input="1", expected=1)]), id="tests"
        ),
    ],
)
def test_a_change_needs_a_new_verification(verified, change):
    change(verified)

    verified.refresh_from_db()
    assert (verified.verified, verified.verdict) == (False, None)


def test_publishing_shows_a_verified_task(verified, editor):
    services.publish(verified, by=editor)

    verified.refresh_from_db()
    assert (verified.active, verified.ai_status) == (True, "approved")


def test_a_task_that_is_not_verified_cannot_be_published(make_task, editor):
    with pytest.raises(ValidationError, match="passes its tests"):
        services.publish(make_task(), by=editor)


def test_the_database_keeps_a_task_that_is_not_verified_from_students(make_task):
    with pytest.raises(IntegrityError, match="practice_task_active_is_verified"):
        make_task(active=True)


def test_a_published_task_is_not_changed(verified, editor):
    services.publish(verified, by=editor)

    with pytest.raises(ValidationError, match="withdraw it first"):
        services.set_solution(verified, WRONG)


def test_a_withdrawn_task_is_hidden_and_can_be_changed(verified, editor):
    services.publish(verified, by=editor)

    hidden = services.withdraw(models.Task.objects.all())

    verified.refresh_from_db()
    services.set_solution(verified, WRONG)
    assert (hidden, verified.active) == (1, False)
