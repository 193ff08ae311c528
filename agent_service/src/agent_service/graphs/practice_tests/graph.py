"""From a task's text to its tests, or from tests that a solution failed to right ones."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_service.graphs import agents, inputs, templates
from agent_service.graphs.practice_author import material, prompts, tasks
from agent_service.graphs.practice_tests import schemas

_TEMPLATES = templates.of_package(__package__)
_TABLES = 1
"""What stands before the tests of a task in SQL."""


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph for a model and the tools of a mandate."""
    testers = tasks.testers(model, {tool.name: tool for tool in tools})

    async def write_tests(state: schemas.State) -> dict[str, Any]:
        language = state["material"]["lesson"]["language"]
        tests = await tasks.tested(testers[language], _question(state), language=language)
        count = len(tests) - _TABLES if language == "sql" else len(tests)
        return {"result": schemas.Result(id=state["task"]["task_id"], tests=count)}

    builder: StateGraph[schemas.State, Any, schemas.Assignment, schemas.Answer] = StateGraph(
        schemas.State, input_schema=schemas.Assignment, output_schema=schemas.Answer
    )
    builder.add_node("read", read)
    builder.add_node("write_tests", write_tests)
    builder.add_edge(START, "read")
    builder.add_edge("read", "write_tests")
    builder.add_edge("write_tests", END)
    return builder.compile(name="practice_tests")


def _question(state: schemas.State) -> list[AnyMessage]:
    """Ask for tests; where a solution has failed those that are there, for a second look at them."""
    if state["failures"]:
        return prompts.to_repair(
            state["material"], state["task"], state["tests"], state["failures"], written=_TEMPLATES
        )
    return prompts.to_test(state["material"], state["task"], written=_TEMPLATES)


async def read(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Read the task with the tests it has, and what its tests are written from."""
    given = inputs.checked(schemas.Assignment, state)
    found = await material.of_task(runtime, task_id=given.task_id, student_id=given.student_id)
    return {**found}
