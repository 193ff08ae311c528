"""From a lesson to the conditions of several tasks, in one pass."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_service.graphs import agents, inputs, templates
from agent_service.graphs.practice_author import material, prompts, tasks
from agent_service.graphs.practice_author.schemas import Assignment
from agent_service.graphs.practice_conditions import schemas

_TEMPLATES = templates.of_package(__package__)


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph for a model and the tools of a mandate."""
    drafter = agents.make(model, tasks.some({tool.name: tool for tool in tools}, "add_tasks"), name="drafter")

    async def draft(state: schemas.State) -> dict[str, Any]:
        question = prompts.to_draft(state["material"], count=state["count"], written=_TEMPLATES)
        drafts = await tasks.drafted(drafter, question)
        listed = [schemas.Drafted(id=one["task_id"], title=one["title"]) for one in drafts]
        return {"result": schemas.Result(tasks=listed)}

    builder: StateGraph[schemas.State, Any, Assignment, schemas.Answer] = StateGraph(
        schemas.State, input_schema=Assignment, output_schema=schemas.Answer
    )
    builder.add_node("read", read)
    builder.add_node("draft", draft)
    builder.add_edge(START, "read")
    builder.add_edge("read", "draft")
    builder.add_edge("draft", END)
    return builder.compile(name="practice_conditions")


async def read(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Read what the tasks are written from."""
    given = inputs.checked(Assignment, state)
    read_from = await material.of_lesson(runtime, module_id=given.module_id, student_id=given.student_id)
    return {"count": given.count, "material": read_from}
