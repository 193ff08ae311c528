"""Everything that changes the course's tasks, with the rules that hold for people and agents alike.

A rule that refuses raises Django's `ValidationError`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from pydantic import TypeAdapter

from mandate.models import AiStatus
from mandate.services import drafts
from practice import models, sandbox, schemas, sql_check
from shared_schemas import json_values

_UNCHANGED: Mapping[str, Any] = MappingProxyType({})
_PYTHON_TESTS = TypeAdapter(list[schemas.TaskTest | schemas.PropertyTest])


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A verdict, and what it is a verdict on."""

    digest: str
    verdict: schemas.Verdict


def add_drafts(
    *, module: models.Module, tasks: Sequence[schemas.TaskDraft], by: AbstractBaseUser
) -> list[models.Task]:
    """Keep drafts of tasks that an agent wrote."""
    return models.Task.objects.bulk_create(
        models.Task(module=module, ai_user_id=by.pk, **draft.model_dump()) for draft in tasks
    )


def set_tests(task: models.Task, tests: Sequence[schemas.TaskTest | schemas.PropertyTest]) -> None:
    """Replace the tests of a draft in Python; it has to be verified again."""
    _refuse_other_language(task, models.Module.Language.PYTHON, use="add_sql_tests")
    _change(task, tests=[test.model_dump(mode="json") for test in tests])


def set_sql_tests(task: models.Task, tests: Sequence[schemas.SqlTest], *, create: str) -> None:
    """Replace the tables and tests of a draft in SQL; it has to be verified again."""
    _refuse_other_language(task, models.Module.Language.SQL, use="add_task_tests")
    _change(task, tests=[{"create": create, **test.model_dump(mode="json")} for test in tests])


def set_solution(task: models.Task, code: str) -> None:
    """Replace a draft's solution; it has to be verified again."""
    _change(task, solution=code)


def check(task: models.Task) -> Check:
    """Run a task's solution against its tests. It takes seconds: never call it inside a transaction."""
    if not task.tests or not task.solution:
        raise ValidationError("A task needs its tests and its solution before it is verified.")
    is_sql = task.module.language == models.Module.Language.SQL
    return Check(digest=_digest(task), verdict=_verify_sql(task) if is_sql else _verify_python(task))


def _verify_python(task: models.Task) -> schemas.Verdict:
    return sandbox.verify(task.solution, _PYTHON_TESTS.validate_python(task.tests))


def _verify_sql(task: models.Task) -> schemas.Verdict:
    tests = [
        schemas.SqlTest.model_validate({name: value for name, value in test.items() if name != "create"})
        for test in task.tests
    ]
    return sql_check.verify(task.solution, create=task.tests[0]["create"], tests=tests)


def record_verdict(task: models.Task, checked: Check) -> None:
    """Keep the verdict, if it is on the tests and the solution as they are now."""
    if _digest(task) != checked.digest:
        raise ValidationError("The tests or the solution changed during the verification; verify it again.")
    _refuse_published(task)
    task.verdict = checked.verdict.model_dump(mode="json")
    task.verified = checked.verdict.passed
    task.save(update_fields=["verdict", "verified", "updated_at"])


@transaction.atomic
def publish(
    task: models.Task,
    *,
    by: AbstractBaseUser,
    changes: Mapping[str, Any] = _UNCHANGED,
    comment: str = "",
) -> None:
    """Show a verified task to students; of a draft, this is its approval, with a person's last changes."""
    if not task.verified:
        raise ValidationError("Only a task whose solution passes its tests can be published.")
    if task.ai_status == AiStatus.DRAFT:
        drafts.review(task, by=by, changes=changes, comment=comment)
    task.active = True
    task.save(update_fields=["active", "updated_at"])


@transaction.atomic
def reject(task: models.Task, *, by: AbstractBaseUser, comment: str = "") -> None:
    """Decide that a draft is not for students."""
    drafts.review(task, by=by, approve=False, comment=comment)


@transaction.atomic
def remove_drafts(task_ids: Sequence[int], *, of: AbstractBaseUser) -> int:
    """Delete drafts of an agent that nobody has decided about, and return how many were still there."""
    tasks = models.Task.objects.filter(pk__in=task_ids, ai_user_id=of.pk).select_for_update()
    if decided := [task.title for task in tasks if task.active or task.ai_status == AiStatus.APPROVED]:
        raise ValidationError(
            f"People approved {', '.join(map(repr, decided))}; withdraw and delete by hand."
        )
    return tasks.delete()[0]


def withdraw(tasks: QuerySet[models.Task]) -> int:
    """Hide tasks from students, and return how many there were."""
    return tasks.filter(active=True).update(active=False)


def _change(task: models.Task, **fields: object) -> None:
    _refuse_published(task)
    for name, value in fields.items():
        setattr(task, name, value)
    task.verdict, task.verified = None, False
    task.save(update_fields=[*fields, "verdict", "verified", "updated_at"])


def _refuse_published(task: models.Task) -> None:
    if task.active:
        raise ValidationError("A published task is changed by people; withdraw it first.")


def _refuse_other_language(task: models.Task, language: models.Module.Language, *, use: str) -> None:
    if task.module.language != language:
        raise ValidationError(f"The task belongs to a lesson about {task.module.language}; use {use!r}.")


def _digest(task: models.Task) -> str:
    return hashlib.sha256(json_values.canonical([task.tests, task.solution]).encode()).hexdigest()
