"""Three agents in a row: one drafts a lesson's tasks, one writes each task's tests, one solves it.

A step begins in the transaction that ends the step before, so that no crash can come between the two.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from mandate import exceptions
from mandate.models import Run, ToolCallLink
from mandate.services import runs
from practice import course, models
from shared_schemas.runs import RunStatus

_Kind = models.ChainStep.Kind

AGENTS = {
    _Kind.CONDITIONS: course.CONDITIONS,
    _Kind.TESTS: course.TESTS,
    _Kind.SOLUTION: course.SOLUTION,
}

_NEXT = {_Kind.CONDITIONS: _Kind.TESTS, _Kind.TESTS: _Kind.SOLUTION}


@transaction.atomic
def start(
    *,
    module: models.Module,
    by: AbstractUser,
    student: models.StudentProfile | None = None,
    count: int = 3,
    model: str = "",
    request_key: str = "",
) -> models.Chain:
    """Have tasks written for a lesson. What returns is kept, and its first run will be delivered.

    With a `request_key`, the same person's repeat of the same request returns the first one's chain.

    Raises:
        RequestRefused: as `runs.start`; then nothing is kept.
    """
    chain = models.Chain.objects.create(
        module=module, student=student, count=count, model=model, started_by_id=by.pk
    )
    run = _started(chain, _Kind.CONDITIONS, None, request_key=request_key)
    if run.replayed:
        chain.delete()
        return models.ChainStep.objects.select_related("chain").get(run=run).chain
    models.ChainStep.objects.create(chain=chain, kind=_Kind.CONDITIONS, run=run)
    return chain


def follow(sender: type[Run], *, run: Run, **_: Any) -> None:  # noqa: ARG001 - what every receiver takes
    """Begin what follows a run that has ended well; for a run of no chain, nothing."""
    step = models.ChainStep.objects.filter(run=run).select_related("chain").first()
    if step is None or run.status != RunStatus.COMPLETED or step.kind not in _NEXT:
        return
    for task in _tasks_after(step, run):
        _begin(step.chain, _NEXT[_Kind(step.kind)], task)


@transaction.atomic
def go_on(chain: models.Chain) -> int:
    """Start what was refused before, and return how many of these steps have a run now."""
    waiting = chain.steps.select_for_update().filter(run=None)
    return sum(_try(step) for step in waiting)


def _tasks_after(step: models.ChainStep, run: Run) -> Iterable[models.Task | None]:
    if step.kind != _Kind.CONDITIONS:
        return [step.task]
    # The ledger knows what was drafted; what a run answers is a graph's word only.
    touched = ToolCallLink.objects.filter(
        tool_call__run=run, content_type=ContentType.objects.get_for_model(models.Task)
    )
    drafted = [int(task_id) for task_id in touched.values_list("object_id", flat=True)]
    return models.Task.objects.filter(pk__in=drafted, ai_user=run.agent.user_id).order_by("pk")


def _begin(chain: models.Chain, kind: _Kind, task: models.Task | None) -> None:
    step, _ = models.ChainStep.objects.get_or_create(
        chain=chain, kind=kind, task=task, defaults={"refused": "It is being started."}
    )
    if step.run_id is None:
        _try(step)


def _try(step: models.ChainStep) -> bool:
    """Start a step's run; a refusal is kept, for it must not undo the end of the step before."""
    try:
        with transaction.atomic():
            step.run, step.refused = _started(step.chain, _Kind(step.kind), step.task), ""
    except exceptions.RequestRefused as error:
        step.refused = str(error) or error.code
    step.save(update_fields=["run", "refused"])
    return step.run is not None


def _started(chain: models.Chain, kind: _Kind, task: models.Task | None, *, request_key: str = "") -> Run:
    about = {"module_id": chain.module_id, "count": chain.count} if task is None else {"task_id": task.pk}
    return runs.start(
        agent=AGENTS[kind],
        input=about | ({"student_id": chain.student_id} if chain.student_id else {}),
        by=chain.started_by,
        model=chain.model or None,
        idempotency_key=f"practice-chain:{request_key or chain.pk}:{kind.value}:{task.pk if task else ''}",
    )
