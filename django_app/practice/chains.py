"""Three agents in a row: one drafts a lesson's tasks, one writes each task's tests, one solves it.

A step begins in the transaction that ends the step before, so that no crash can come between the two.

Of each task that is verified a person is asked whether students may see it: the run that solved it waits for the
answer, and each is given by itself. Nothing is published otherwise.

A solution that fails its tests is repaired by who wrote it, within its run. If it still fails, a test is what is
wrong: the verdict goes back, once, to the agent that wrote the tests, and the task is solved again.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet

from mandate import exceptions
from mandate.models import Run, ToolCallLink
from mandate.services import request_keys, runs
from practice import course, models
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

_Kind = models.ChainStep.Kind

AGENTS = {
    _Kind.CONDITIONS: course.CONDITIONS,
    _Kind.TESTS: course.TESTS,
    _Kind.SOLUTION: course.SOLUTION,
}

ROUNDS = 2
"""How often a task gets tests and a solution: at first, and after a verdict that is against its tests."""


@transaction.atomic
def start(
    *,
    module: models.Module,
    by: AbstractUser,
    student: models.StudentProfile | None = None,
    count: int = 3,
    model: str = "",
    request_key: str | None = None,
) -> models.Chain:
    """Have tasks written for a lesson. What returns is kept, and its first run will be delivered.

    With a `request_key`, the same person's repeat of the same request returns the first one's chain, `replayed`.

    Raises:
        RequestRefused: as `runs.start`, IDEMPOTENCY_KEY_REUSED among it; then nothing is kept.
    """
    chain = models.Chain.objects.create(
        module=module, student=student, count=count, model=model, started_by_id=by.pk
    )
    step = models.ChainStep(chain=chain, kind=_Kind.CONDITIONS)
    run = _started(step, request_key=request_key)
    if run.replayed:
        chain.delete()
        return _replayed(run)
    step.run = run
    step.save()
    return chain


def follow(sender: type[Run], *, run: Run, **_: Any) -> None:  # noqa: ARG001 - what every receiver takes
    """Begin what follows a run that has ended well; for a run of no chain, nothing."""
    step = models.ChainStep.objects.filter(run=run).select_related("chain", "task").first()
    if step is None or run.status != RunStatus.COMPLETED:
        return
    for kind, task, round_ in _following(step, run):
        _begin(step.chain, kind, task, round_)


@transaction.atomic
def go_on(chain: models.Chain) -> int:
    """Start what was refused before, and return how many of these steps have a run now."""
    waiting = chain.steps.select_for_update().filter(run=None)
    return sum(_try(step) for step in waiting)


def _replayed(run: Run) -> models.Chain:
    step = models.ChainStep.objects.select_related("chain").filter(run=run).first()
    if step is None:
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key was used for a run of no chain."
        )
    step.chain.replayed = True
    return step.chain


def _following(step: models.ChainStep, run: Run) -> Iterator[tuple[_Kind, models.Task, int]]:
    if step.task is None:
        yield from ((_Kind.TESTS, task, step.round) for task in _drafted(run))
    elif step.kind == _Kind.TESTS:
        yield _Kind.SOLUTION, step.task, step.round
    elif step.round < ROUNDS and step.task.verdict and not step.task.verified:
        yield _Kind.TESTS, step.task, step.round + 1


def _drafted(run: Run) -> QuerySet[models.Task]:
    # The ledger knows what was drafted; what a run answers is a graph's word only.
    touched = ToolCallLink.objects.filter(
        tool_call__run=run, content_type=ContentType.objects.get_for_model(models.Task)
    )
    drafted = [int(task_id) for task_id in touched.values_list("object_id", flat=True)]
    return models.Task.objects.filter(pk__in=drafted, ai_user=run.agent.user_id).order_by("pk")


def _begin(chain: models.Chain, kind: _Kind, task: models.Task, round_: int) -> None:
    step, _ = models.ChainStep.objects.get_or_create(
        chain=chain, kind=kind, task=task, round=round_, defaults={"refused": "It is being started."}
    )
    if step.run_id is None:
        _try(step)


def _try(step: models.ChainStep) -> bool:
    """Start a step's run; a refusal is kept, for it must not undo the end of the step before."""
    try:
        with transaction.atomic():
            step.run, step.refused = _started(step), ""
    except exceptions.RequestRefused as error:
        step.refused = str(error) or error.code
    step.save(update_fields=["run", "refused"])
    return step.run is not None


def _started(step: models.ChainStep, *, request_key: str | None = None) -> Run:
    chain = step.chain
    key = f"practice-chain:{chain.pk}:{step.kind}:{step.task_id or ''}:{step.round}"
    if request_key:
        key = request_keys.of_runs("practice-chain-request", request_key)
    about = {"module_id": chain.module_id, "count": chain.count}
    if step.task_id:
        about = {"task_id": step.task_id}
    return runs.start(
        agent=AGENTS[_Kind(step.kind)],
        input=about | ({"student_id": chain.student_id} if chain.student_id else {}),
        by=chain.started_by,
        model=chain.model or None,
        idempotency_key=key,
    )
