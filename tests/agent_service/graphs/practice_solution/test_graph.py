from collections import Counter

import pytest
from langgraph.types import Command

from agent_service import exceptions

TOOLS = {"read_lesson", "read_profile", "read_task", "add_task_solution", "verify_task"}
TILL = "Add up the till"


@pytest.fixture
def task_id(course):
    tests = [
        {"input": "total([1, 2])", "expected": 3},
        {"input": "total([])", "expected": 0},
    ]
    return course.have(TILL, module_id=1, tests=tests)


async def test_a_task_gets_a_verified_solution(graph_named, run, subject, task_id):
    state = await run(await graph_named("practice_solution", only=TOOLS), {"task_id": task_id})

    assert state["result"] == {
        "id": task_id,
        "title": TILL,
        "verified": True,
        "failures": [],
        "published": None,
    }
    assert [name for name, _ in subject.effects] == ["add_task_solution", "verify_task"]


@pytest.mark.parametrize(
    ("decision", "published"),
    [pytest.param("approve", True, id="approved"), pytest.param("reject", False, id="declined")],
)
async def test_a_person_is_asked_to_publish_what_is_verified(
    graph_named, run, subject, course, task_id, decision, published
):
    graph = await graph_named("practice_solution", only=TOOLS | {"publish_task"})

    asked = await run(graph, {"task_id": task_id})
    before = list(course.published)
    [approval_id] = subject.approvals
    getattr(subject, decision)(approval_id)
    state = await run(graph, Command(resume={asked["__interrupt__"][0].id: "decided"}))

    assert [item.value["arguments"] for item in asked["__interrupt__"]] == [{"task_id": task_id}]
    assert before == []
    assert state["result"]["published"] is published
    assert course.published == [task_id] * published


async def test_a_wrong_solution_is_repaired_once_and_the_tests_stay(
    graph_named, run, subject, course, task_id
):
    graph = await graph_named("practice_solution", "gpt-4.1-careless", only=TOOLS)
    tests = course.tests[task_id]

    state = await run(graph, {"task_id": task_id})

    assert state["result"]["verified"]
    assert Counter(name for name, _ in subject.effects) == {"add_task_solution": 2, "verify_task": 2}
    assert course.tests[task_id] == tests


async def test_a_solution_that_stays_wrong_comes_with_its_failing_case(graph_named, run, course):
    task_id = course.have(TILL, module_id=1, tests=[{"input": "total([])", "expected": "nothing"}])

    graph = await graph_named("practice_solution", only=TOOLS | {"publish_task"})

    state = await run(graph, {"task_id": task_id})

    assert not state["result"]["verified"]
    assert state["result"]["published"] is None
    assert [failure["input"] for failure in state["result"]["failures"]] == ["total([])"]


async def test_a_task_without_tests_is_refused_before_a_model_is_asked(graph_named, run, course, provider):
    task_id = course.have(TILL, module_id=1)

    with pytest.raises(exceptions.RunFailed, match="has no tests yet"):
        await run(await graph_named("practice_solution", only=TOOLS), {"task_id": task_id})

    assert not provider.requests
