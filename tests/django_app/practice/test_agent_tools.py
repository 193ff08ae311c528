import uuid

import pytest
from django.contrib.auth import get_user_model

from mandate import tools
from mandate.tools import registry
from practice import agent_tools, course, models, schemas


@pytest.fixture
def context(agent_user, editor):
    return tools.Context(run_id=uuid.uuid4(), agent_user=agent_user, acting_for=editor, approved_by=editor)


@pytest.fixture
def foreign_task(make_task):
    return make_task(ai_user=get_user_model().objects.create_user("agent-other"))


def test_all_tools_of_the_agents_are_declared():
    assert {*course.AUTHOR_TOOLS}.union(*course.TEAM_TOOLS.values()) <= set(registry.declared())


def test_of_the_three_agents_the_one_that_verifies_asks_to_publish_and_no_other():
    assert [slug for slug, allowed in course.TEAM_TOOLS.items() if "publish_task" in allowed] == [
        course.SOLUTION
    ]
    assert "verify_task" in course.TEAM_TOOLS[course.SOLUTION]
    assert registry.declared()["publish_task"].approval is not None


def test_every_field_that_a_model_sees_is_described():
    undescribed = [
        f"{name}.{definition.get('title')}.{field}"
        for name in {*course.AUTHOR_TOOLS, *course.RESEARCHER_TOOLS}.union(*course.TEAM_TOOLS.values())
        for schema in _schemas(registry.declared()[name])
        for definition in (schema, *schema.get("$defs", {}).values())
        for field, value in definition.get("properties", {}).items()
        if "description" not in value and "$ref" not in value
    ]

    assert undescribed == []


def test_a_lesson_that_is_not_published_is_not_read(context, module):
    models.Module.objects.update(published=False)

    with pytest.raises(models.Module.DoesNotExist):
        agent_tools.read_lesson(context, schemas.ReadLesson(module_id=module.pk))


def test_no_draft_is_added_to_a_lesson_that_is_not_published(context, module, draft):
    models.Module.objects.update(published=False)

    with pytest.raises(models.Module.DoesNotExist):
        agent_tools.add_tasks(context, schemas.AddTasks(module_id=module.pk, tasks=[draft]))

    assert not models.Task.objects.exists()


def test_the_steps_of_an_author_lead_to_a_published_task(context, module, draft):
    added = agent_tools.add_tasks(context, schemas.AddTasks(module_id=module.pk, tasks=[draft]))
    task_id = added.tasks[0].task_id
    tests = [schemas.TaskTest(input="double(3)", expected=6)]
    agent_tools.add_task_tests(context, schemas.AddTaskTests(task_id=task_id, tests=tests))
    solution = schemas.AddTaskSolution(task_id=task_id, code="def double(number):\n    return number * 2\n")
    agent_tools.add_task_solution(context, solution)
    verified = verify(context, task_id)

    published = agent_tools.publish_task(context, schemas.PublishTask(task_id=task_id))

    assert (verified.passed, verified.failures) == (True, [])
    assert published.approved_by == "editor"
    assert models.Task.objects.get(pk=task_id).active


def test_a_task_is_read_with_what_fails_its_tests_until_they_are_replaced(context, make_task):
    task = make_task(solution="def double(number):\n    return number\n")
    verify(context, task.pk)
    read = schemas.ReadTask(task_id=task.pk)
    failed = agent_tools.read_task(context, read).failures
    tests = [schemas.TaskTest(input="double(0)", expected=0)]

    agent_tools.add_task_tests(context, schemas.AddTaskTests(task_id=task.pk, tests=tests))

    assert [(failure["input"], failure["actual"]) for failure in failed] == [("double(2)", 2)]
    assert agent_tools.read_task(context, read).failures == []


def test_whoever_reads_a_task_sees_no_solution(context, make_task):
    task = make_task()

    read = agent_tools.read_task(context, schemas.ReadTask(task_id=task.pk)).model_dump_json()

    assert task.text in read
    assert "return 2 * number" in task.solution
    assert "return 2 * number" not in read


def test_a_failed_verification_answers_the_failing_case(context, make_task):
    task = make_task(solution="def double(number):\n    return number\n")

    verified = verify(context, task.pk)

    assert [(failure.input, failure.actual) for failure in verified.failures] == [("double(2)", 2)]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(
            lambda context, task: agent_tools.add_task_tests(
                context,
                schemas.AddTaskTests(task_id=task.pk, tests=[schemas.TaskTest(input="1", expected=1)]),
            ),
            id="tests",
        ),
        pytest.param(
            lambda context, task: agent_tools.add_task_solution(
                context, schemas.AddTaskSolution(task_id=task.pk, code="pass")
            ),
            id="solution",
        ),
        pytest.param(lambda context, task: verify(context, task.pk), id="verify"),
        pytest.param(
            lambda context, task: agent_tools.publish_task(context, schemas.PublishTask(task_id=task.pk)),
            id="publish",
        ),
    ],
)
def test_another_agents_task_does_not_exist(context, foreign_task, call):
    with pytest.raises(models.Task.DoesNotExist):
        call(context, foreign_task)


def test_the_person_who_decides_reads_which_task_it_is(context, make_task):
    rule = registry.declared()["publish_task"].approval

    message = rule.message(context, schemas.PublishTask(task_id=make_task().pk))

    assert message == "Show the task 'Double it' of the lesson 'Loops' to students?"


def verify(context, task_id):
    """Both steps, as the ledger takes them."""
    call = schemas.VerifyTask(task_id=task_id)
    prepared = registry.declared()["verify_task"].prepare(context, call)
    return agent_tools.verify_task(context, call, prepared)


def _schemas(tool):
    return tool.arguments.model_json_schema(), tool.result.model_json_schema(mode="serialization")
