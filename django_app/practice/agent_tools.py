"""What agents may do with the course: one narrow tool for each step of an author's work."""

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from mandate import tools
from practice import models, previews, schemas, search, selectors, services

MOST_TO_CHOOSE = 200

_replacing_tool = tools.tool(
    scope="practice:write",
    effect=tools.Effect.WRITE,
    return_direct=True,
    # Going back to an earlier text is a call with the same arguments, and a new wish.
    repeat=tools.Repeat.ALLOW,
)


@tools.records(models.Module)
def _lessons(
    context: tools.Context,  # noqa: ARG001 - every scope takes it
) -> QuerySet[models.Module]:
    return selectors.lessons()


@tools.records(models.StudentProfile)
def _students(
    context: tools.Context,  # noqa: ARG001 - every scope takes it
) -> QuerySet[models.StudentProfile]:
    return models.StudentProfile.objects.all()


@tools.records(models.Task)
def _tasks(context: tools.Context) -> QuerySet[models.Task]:
    return selectors.tasks_for(context.agent_user)


@tools.choices("practice_author", "module_id")
@tools.choices("practice_conditions", "module_id")
def _lessons_to_choose(
    user: AbstractBaseUser,  # noqa: ARG001 - the course is for everybody
) -> list[tuple[int, str]]:
    return [(lesson.pk, str(lesson)) for lesson in selectors.lessons()]


@tools.choices("practice_author", "student_id")
@tools.choices("practice_conditions", "student_id")
@tools.choices("practice_tests", "student_id")
@tools.choices("practice_solution", "student_id")
def _students_to_choose(
    user: AbstractBaseUser,  # noqa: ARG001 - whoever may start the agent may write for anybody
) -> list[tuple[int, str]]:
    return [(student.pk, str(student)) for student in models.StudentProfile.objects.all()]


@tools.choices("practice_tests", "task_id")
@tools.choices("practice_solution", "task_id")
def _drafts_to_choose(
    user: AbstractBaseUser,  # noqa: ARG001 - whoever may start the agent may have any draft worked on
) -> list[tuple[int, str]]:
    return [(task.pk, f"{task.module}: {task}") for task in selectors.open_drafts()[:MOST_TO_CHOOSE]]


tools.grows_with("practice_author", "count")
tools.grows_with("practice_conditions", "count")

tools.publishes(models.Task, permission="practice.publish_task", preview=previews.of)(services.publish)


@tools.tool(scope="practice:read", effect=tools.Effect.READ)
def read_lesson(context: tools.Context, call: schemas.ReadLesson) -> schemas.Lesson:
    """Read a published lesson of the course: its title, language and whole text."""
    module = context.visible(models.Module).get(pk=call.module_id)
    return schemas.Lesson(
        module_id=module.pk,
        slug=module.slug,
        title=module.title,
        language=module.language,
        body=module.body,
    )


def _published_tasks(
    context: tools.Context,  # noqa: ARG001 - every scope takes it
) -> QuerySet[models.Task]:
    return selectors.published_tasks()


@tools.tool(scope="practice:read", effect=tools.Effect.READ, records={models.Task: _published_tasks})
def search_course(context: tools.Context, call: schemas.SearchCourse) -> schemas.CourseFound:
    """Search the published lessons and tasks of the course, the best first, with the places that fit."""
    hits = search.find(
        call.query,
        lessons=context.visible(models.Module),
        tasks=context.visible(models.Task),
        limit=call.limit,
    )
    return schemas.CourseFound(records=[_found(hit) for hit in hits])


def _found(hit: search.Hit) -> schemas.Found:
    kind, lesson = schemas.Kind.LESSON, hit.record
    if isinstance(hit.record, models.Task):
        kind, lesson = schemas.Kind.TASK, hit.record.module
    return schemas.Found(
        ref=f"{kind.value}-{hit.record.pk}",
        kind=kind,
        id=hit.record.pk,
        title=hit.record.title,
        lesson=lesson.title,
        rank=round(hit.rank, 4),
        snippet=hit.snippet,
    )


@tools.tool(scope="practice:read", effect=tools.Effect.READ)
def read_profile(context: tools.Context, call: schemas.ReadProfile) -> schemas.Profile:
    """Read what is known about a student: level, goals and what a teacher noticed."""
    student = context.visible(models.StudentProfile).get(pk=call.student_id)
    return schemas.Profile(
        student_id=student.pk,
        name=student.name,
        level=student.level,
        goals=student.goals,
        notes=student.notes,
    )


@tools.tool(scope="practice:read", effect=tools.Effect.READ)
def read_task(context: tools.Context, call: schemas.ReadTask) -> schemas.TaskRead:
    """Read one of your tasks, or a draft of an agent that you work with: its text, its tests and what fails them."""
    task = context.visible(models.Task).select_related("module").get(pk=call.task_id)
    return schemas.TaskRead(
        task_id=task.pk,
        module_id=task.module_id,
        language=task.module.language,
        title=task.title,
        text=task.text,
        starting_code=task.starting_code,
        tests=task.tests,
        failures=task.verdict["failures"] if task.verdict else [],
    )


def _remove_added(context: tools.Context, call: schemas.AddTasks, answer: schemas.TasksAdded) -> None:  # noqa: ARG001 - what every such function takes
    services.remove_drafts([task.task_id for task in answer.tasks], of=context.agent_user)


@tools.tool(scope="practice:write", effect=tools.Effect.WRITE, return_direct=True, undo=_remove_added)
def add_tasks(context: tools.Context, call: schemas.AddTasks) -> schemas.TasksAdded:
    """Add draft practice tasks to a lesson, all in one call. Students do not see drafts."""
    module = context.visible(models.Module).get(pk=call.module_id)
    added = services.add_drafts(module=module, tasks=call.tasks, by=context.agent_user)
    context.link(*added)
    return schemas.TasksAdded(tasks=[schemas.AddedTask(task_id=task.pk, title=task.title) for task in added])


@_replacing_tool
def add_task_tests(context: tools.Context, call: schemas.AddTaskTests) -> schemas.TestsAdded:
    """Give one of your draft Python tasks its tests. Earlier tests of the task are replaced."""
    services.set_tests(_visible(context, call.task_id), call.tests)
    return schemas.TestsAdded(task_id=call.task_id, tests=len(call.tests))


@_replacing_tool
def add_sql_tests(context: tools.Context, call: schemas.AddSqlTests) -> schemas.TestsAdded:
    """Give one of your draft SQL tasks its tables and tests. Earlier ones of the task are replaced."""
    services.set_sql_tests(_visible(context, call.task_id), call.tests, create=call.create)
    return schemas.TestsAdded(task_id=call.task_id, tests=len(call.tests))


@_replacing_tool
def add_task_solution(context: tools.Context, call: schemas.AddTaskSolution) -> schemas.SolutionAdded:
    """Give one of your draft tasks its solution. An earlier solution of the task is replaced."""
    services.set_solution(_visible(context, call.task_id), call.code)
    return schemas.SolutionAdded(task_id=call.task_id)


def _check(context: tools.Context, call: schemas.VerifyTask) -> services.Check:
    return services.check(context.visible(models.Task).select_related("module").get(pk=call.task_id))


@tools.tool(
    scope="practice:write",
    effect=tools.Effect.WRITE,
    prepare=_check,
    # Verifying again after a repair is a call with the same arguments, and a new question.
    repeat=tools.Repeat.ALLOW,
)
def verify_task(
    context: tools.Context, call: schemas.VerifyTask, checked: services.Check
) -> schemas.TaskVerified:
    """Run one of your draft tasks' solution against its tests, and get every failing case."""
    services.record_verdict(_visible(context, call.task_id), checked)
    verdict = checked.verdict
    return schemas.TaskVerified(task_id=call.task_id, passed=verdict.passed, failures=verdict.failures)


def _publishable(context: tools.Context) -> QuerySet[models.Task]:
    return selectors.publishable_by(context.agent_user)


def _publish_message(context: tools.Context, call: schemas.PublishTask) -> str:
    task = context.visible(models.Task).select_related("module").get(pk=call.task_id)
    context.link(task)
    return f"Show the task {task.title!r} of the lesson {task.module.title!r} to students?"


def _publish_preview(context: tools.Context, call: schemas.PublishTask) -> str:
    return previews.of(context.visible(models.Task).select_related("module").get(pk=call.task_id))


@tools.tool(
    scope="practice:publish",
    effect=tools.Effect.WRITE,
    records={models.Task: _publishable},
    approval=tools.ApprovalRule(
        permission="practice.publish_task", message=_publish_message, preview=_publish_preview
    ),
)
def publish_task(context: tools.Context, call: schemas.PublishTask) -> schemas.TaskPublished:
    """Ask a person to show a verified draft, yours or of an agent that you work with, to students. They may refuse."""
    task = _visible(context, call.task_id)
    assert context.approved_by is not None, "the tool is declared with an approval"
    services.publish(task, by=context.approved_by)
    return schemas.TaskPublished(
        task_id=task.pk, title=task.title, approved_by=context.approved_by.get_username()
    )


def _visible(context: tools.Context, task_id: int) -> models.Task:
    task = context.visible(models.Task).select_for_update().get(pk=task_id)
    context.link(task)
    return task
