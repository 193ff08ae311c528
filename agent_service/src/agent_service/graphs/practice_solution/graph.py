"""From a task and its tests to a solution that passes them, after one repair at most."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_service import exceptions
from agent_service.graphs import agents, inputs, templates
from agent_service.graphs.practice_author import material, prompts, tasks
from agent_service.graphs.practice_solution import schemas
from shared_schemas.problems import ErrorCode

_TEMPLATES = templates.of_package(__package__)


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph for a model and the tools of a mandate."""
    solver = agents.make(model, tasks.some({tool.name: tool for tool in tools}, tasks.SOLVING), name="solver")

    async def write_solution(state: schemas.State) -> dict[str, Any]:
        question = prompts.to_solve(state["material"], state["task"], state["tests"], written=_TEMPLATES)
        await tasks.solved(solver, question)
        return {}

    async def repair(state: schemas.State) -> dict[str, Any]:
        asked = prompts.to_repair(
            state["material"], state["task"], state["tests"], state["failures"], written=_TEMPLATES
        )
        await tasks.solved(solver, asked)
        return {}

    builder: StateGraph[schemas.State, Any, schemas.Assignment, schemas.Answer] = StateGraph(
        schemas.State, input_schema=schemas.Assignment, output_schema=schemas.Answer
    )
    builder.add_node("read", read)
    builder.add_node("write_solution", write_solution)
    builder.add_node("verify", tasks.verify)
    builder.add_node("repair", repair)
    builder.add_node("report", report)
    builder.add_edge(START, "read")
    builder.add_edge("read", "write_solution")
    builder.add_edge("write_solution", "verify")
    builder.add_conditional_edges("verify", tasks.after_verifying, {"repair": "repair", END: "report"})
    builder.add_edge("repair", "verify")
    builder.add_edge("report", END)
    return builder.compile(name="practice_solution")


async def read(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Read the task with its tests, and what a solution is written from."""
    given = inputs.checked(schemas.Assignment, state)
    found = await material.of_task(runtime, task_id=given.task_id, student_id=given.student_id)
    if not found["tests"]:
        raise exceptions.RunFailed(ErrorCode.INVALID_REQUEST, f"Task {given.task_id} has no tests yet.")
    return {**found, "round": 0, "position": 0}


async def report(state: schemas.State) -> dict[str, Any]:
    """Answer with the verdict."""
    last = state["reports"][-1]
    result = schemas.Result(
        id=last["id"], title=last["title"], verified=last["verified"], failures=state["failures"]
    )
    return {"result": result}
