import pytest

TOOLS = {"read_lesson", "read_profile", "add_tasks"}


@pytest.mark.parametrize("module_id", [1, 2, 3])
async def test_several_tasks_are_drafted_in_one_pass(graph_named, run, subject, provider, module_id):
    graph = await graph_named("practice_conditions", only=TOOLS)

    state = await run(graph, {"module_id": module_id, "student_id": 1, "count": 3})

    assert [task["id"] for task in state["result"]["tasks"]] == [100, 101, 102]
    assert [name for name, _ in subject.effects] == ["add_tasks"]
    assert len(provider.requests) == 1


async def test_its_prompt_is_its_own_and_speaks_of_conditions_only(graph_named, run, provider):
    await run(await graph_named("practice_conditions", only=TOOLS), {"module_id": 1, "count": 1})

    (request,) = provider.requests
    assert request["messages"][0]["content"].startswith("You write the conditions of practice tasks")
    assert [tool["function"]["name"] for tool in request["tools"]] == ["add_tasks"]
