import pytest

TOOLS = {"read_lesson", "read_profile", "read_task", "add_task_tests", "add_sql_tests"}


@pytest.mark.parametrize(
    ("module_id", "title", "tool"),
    [
        (1, "Add up the till", "add_task_tests"),
        (2, "Smallest and largest", "add_task_tests"),
        (3, "Products that nobody bought", "add_sql_tests"),
    ],
)
async def test_a_task_gets_its_tests(graph_named, run, course, subject, module_id, title, tool):
    task_id = course.have(title, module_id=module_id)

    state = await run(await graph_named("practice_tests", only=TOOLS), {"task_id": task_id, "student_id": 1})

    assert state["result"] == {"id": task_id, "tests": len(course.tests[task_id])}
    assert [name for name, _ in subject.effects] == [tool]


async def test_the_tests_are_written_from_the_text_without_a_solution(graph_named, run, course, provider):
    task_id = course.have("Add up the till", module_id=1)
    course.solutions[task_id] = "def secret(): ..."

    await run(await graph_named("practice_tests", only=TOOLS), {"task_id": task_id})

    assert provider.requests[0]["messages"][0]["content"].startswith("You write the tests of practice tasks")
    assert "secret" not in str(provider.requests)


@pytest.mark.parametrize(
    ("module_id", "title"), [(1, "Only the loaves that are left"), (3, "Products that nobody bought")]
)
async def test_tests_that_a_solution_failed_are_looked_at_again(
    graph_named, run, course, provider, module_id, title
):
    graph = await graph_named("practice_tests", "gpt-4.1-hasty", only=TOOLS)
    task_id = course.have(title, module_id=module_id)
    await run(graph, {"task_id": task_id}, "first")
    course.failures[task_id] = [{"input": "the case", "message": "It gives another value."}]

    await run(graph, {"task_id": task_id}, "again")

    asked = provider.requests[-1]["messages"][-1]["content"]
    assert '"input": "the case"' in asked
    assert "Work out by hand, from the text" in asked
    assert "that another wrote from the text alone did not pass them" in asked
