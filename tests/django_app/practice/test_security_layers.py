"""The layers that stand between a model and the data, each shown by what it refuses."""

import pytest
from django.contrib.auth import get_user_model

from mandate import exceptions, testing
from mandate.models import Agent, Approval, ToolCall
from mandate.services import runs
from mandate.tools import registry
from practice import course, models, previews
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallStatus

DRAFT = {"title": "Double it", "text": "Write double(number), twice the number."}


@pytest.fixture
def lesson(db):
    course.load(default_model="gpt-4.1-mini")
    return models.Module.objects.get(slug="functions")


@pytest.fixture
def author(lesson):
    return Agent.objects.get(slug=course.AUTHOR)


@pytest.fixture
def run(author, make_person):
    return testing.start_run(author, by=make_person("teacher", is_superuser=True))


@pytest.fixture
def make_person(db):
    return get_user_model().objects.create_user


@pytest.fixture
def draft(run, lesson):
    answer = testing.call_tool("add_tasks", {"module_id": lesson.pk, "tasks": [DRAFT]}, run=run)
    return models.Task.objects.get(pk=answer.result["tasks"][0]["task_id"])


def refusal(name, arguments, run, key=None):
    with pytest.raises(exceptions.MandateError) as caught:
        testing.call_tool(name, arguments, run=run, key=key)
    return caught.value.code


def test_personal_account_an_agent_changes_only_what_its_own_account_made(run, draft, make_person):
    models.Task.objects.filter(pk=draft.pk).update(ai_user=make_person("agent-other"))

    code = refusal("add_task_solution", {"task_id": draft.pk, "code": "pass"}, run)

    assert (code, draft.solution) == (ErrorCode.REJECTED, "")
    assert not run.agent.user.has_usable_password()


def test_personal_service_an_agent_reaches_the_tools_of_its_mandate_and_no_other(run):
    assert "search_course" in registry.declared()

    assert refusal("search_course", {"query": "loops"}, run) == ErrorCode.TOOL_NOT_GRANTED


def test_tool_restriction_a_set_for_each_task(author, make_person, lesson):
    run = testing.start_run(author, by=make_person("reader"), tools=["read_lesson"])

    read = testing.call_tool("read_lesson", {"module_id": lesson.pk}, run=run)
    code = refusal("add_tasks", {"module_id": lesson.pk, "tasks": [DRAFT]}, run)

    assert (read.status, code) == (ToolCallStatus.SUCCEEDED, ErrorCode.TOOL_NOT_GRANTED)


def test_tool_restriction_broad_tools_with_descriptions(author):
    offered = [registry.declared()[name].spec() for name in author.tools]

    assert len(offered) == 8
    assert all(spec.description and spec.input_schema["properties"] for spec in offered)


def test_idempotency_a_call_that_is_sent_twice_is_done_once(run, lesson):
    call = {"module_id": lesson.pk, "tasks": [DRAFT]}
    key = testing.new_key()

    first, second = (testing.call_tool("add_tasks", call, run=run, key=key) for _ in range(2))

    assert first.result == second.result
    assert models.Task.objects.count() == 1


def test_replay_protection_a_model_that_repeats_itself_makes_nothing_new_and_is_stopped(run, lesson):
    call = {"module_id": lesson.pk, "tasks": [DRAFT]}
    for _ in range(3):
        testing.call_tool("add_tasks", call, run=run)

    codes = [refusal("add_tasks", call, run) for _ in range(3)]

    assert codes == [ErrorCode.REPEATED_CALL, ErrorCode.REPEATED_CALL, ErrorCode.LOOP_DETECTED]
    assert models.Task.objects.count() == 1


def test_stop_execution_nothing_happens_after_a_run_is_cancelled(run, lesson):
    runs.cancel(run.pk)

    code = refusal("add_tasks", {"module_id": lesson.pk, "tasks": [DRAFT]}, run)

    assert code == ErrorCode.RUN_NOT_ACTIVE
    assert not models.Task.objects.exists()


def test_fail_fast_a_rule_that_refuses_leaves_nothing_behind(run, draft):
    code = refusal("add_sql_tests", {"task_id": draft.pk, **SQL_TESTS}, run)

    draft.refresh_from_db()
    assert (code, draft.tests) == (ErrorCode.REJECTED, [])


def test_validation_what_does_not_fit_the_schema_is_told_by_its_place(run, lesson):
    with pytest.raises(exceptions.RequestRefused) as caught:
        testing.call_tool("add_tasks", {"module_id": lesson.pk, "tasks": [{"title": "x"}]}, run=run)

    assert caught.value.code == ErrorCode.INVALID_ARGUMENTS
    assert any("tasks/0/text" in place.pointer for place in caught.value.errors)


def test_documentation_every_field_of_every_tool_is_described(author):
    for name in author.tools:
        fields = registry.declared()[name].arguments.model_json_schema()["properties"].values()
        assert all("description" in field or "$ref" in field for field in fields)


def test_manual_verification_nothing_is_published_before_a_person_says_so(run, draft, make_person):
    models.Task.objects.filter(pk=draft.pk).update(verified=True, verdict={"passed": True})

    asked = testing.call_tool("publish_task", {"task_id": draft.pk}, run=run)
    draft.refresh_from_db()
    before = draft.active
    testing.decide(Approval.objects.get().pk, by=make_person("editor", is_superuser=True))

    draft.refresh_from_db()
    assert (asked.status, before, draft.active) == (ToolCallStatus.PENDING_APPROVAL, False, True)
    assert ToolCall.objects.get(tool="publish_task").status == ToolCallStatus.SUCCEEDED


SQL_TESTS = {
    "create": "CREATE TABLE member (id integer);",
    "tests": [{"tables": [], "expected": []}],
}


@pytest.mark.parametrize("size", [0, 1_000_000], ids=["empty", "a megabyte"])
def test_a_lesson_of_any_length_is_read_without_harm(run, lesson, size):
    models.Module.objects.filter(pk=lesson.pk).update(body="x" * size)

    answer = testing.call_tool("read_lesson", {"module_id": lesson.pk}, run=run)

    assert answer.status == ToolCallStatus.SUCCEEDED
    assert answer.truncated == (size > 0)
    assert len(answer.model_dump_json()) < 300_000


def test_html_of_a_model_is_text_to_the_people_who_review_it(client, draft, make_person):
    script = "<script>alert(1)</script>"
    written = {"title": script, "text": script, "solution": script, "starting_code": script}
    models.Task.objects.filter(pk=draft.pk).update(**written)
    client.force_login(make_person("admin", is_staff=True, is_superuser=True))

    admin = client.get(f"/admin/practice/task/{draft.pk}/change/").content.decode()
    preview = previews.of(models.Task.objects.get(pk=draft.pk))

    for shown in (admin, preview):
        assert script not in shown
        assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= len(written)
