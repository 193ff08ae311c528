"""From a task and its tests to a solution that passes them, after one repair at most.

What passes, a person is asked to publish; a run whose mandate has no `publish_task` asks nobody.
"""

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
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallStatus

_TEMPLATES = templates.of_package(__package__)
_PUBLISHING = "publish_task"


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph for a model and the tools of a mandate."""
    granted = {tool.name: tool for tool in tools}
    solver = agents.make(model, tasks.some(granted, tasks.SOLVING), name="solver")

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

    async def publish(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
        last = state["reports"][-1]
        if not last["verified"] or _PUBLISHING not in granted:
            return {"published": None}
        answer = await binding.call_from_node(runtime, _PUBLISHING, {"task_id": last["id"]}, step=_PUBLISHING)
        return {"published": answer.status is not ToolCallStatus.DECLINED}

    builder: StateGraph[schemas.State, Any, schemas.Assignment, schemas.Answer] = StateGraph(
        schemas.State, input_schema=schemas.Assignment, output_schema=schemas.Answer
    )
    builder.add_node("read", read)
    builder.add_node("write_solution", write_solution)
    builder.add_node("verify", tasks.verify)
    builder.add_node("repair", repair)
    builder.add_node("publish", publish)
    builder.add_node("report", report)
    builder.add_edge(START, "read")
    builder.add_edge("read", "write_solution")
    builder.add_edge("write_solution", "verify")
    builder.add_conditional_edges("verify", tasks.after_verifying, {"repair": "repair", END: "publish"})
    builder.add_edge("repair", "verify")
    builder.add_edge("publish", "report")
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
    """Answer with the verdict, and what a person made of it."""
    last = state["reports"][-1]
    result = schemas.Result(
        id=last["id"],
        title=last["title"],
        verified=last["verified"],
        failures=state["failures"],
        published=state["published"],
    )
    return {"result": result}
