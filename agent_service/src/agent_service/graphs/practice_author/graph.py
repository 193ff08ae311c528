"""From a lesson to practice tasks: draft all, work on each side by side, ask to publish one."""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from agent_service import exceptions
from agent_service.graphs import agents, inputs
from agent_service.graphs.practice_author import material, prompts, schemas, tasks
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallStatus


def make_graph(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph for a model and the tools of a mandate."""
    steps = Steps(model, tools)
    builder: StateGraph[schemas.State, Any, schemas.Assignment, schemas.Answer] = StateGraph(
        schemas.State, input_schema=schemas.Assignment, output_schema=schemas.Answer
    )
    builder.add_node("read", read)
    builder.add_node("draft", steps.draft)
    builder.add_node("author", tasks.build(model, tools))
    builder.add_node("choose", steps.choose)
    builder.add_node("publish", publish)
    builder.add_edge(START, "read")
    builder.add_edge("read", "draft")
    builder.add_conditional_edges("draft", _each_task, ["author"])
    builder.add_edge("author", "choose")
    builder.add_edge("choose", "publish")
    builder.add_edge("publish", END)
    return builder.compile(name="practice_author")


async def read(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Read what the tasks are written from."""
    assignment = inputs.checked(schemas.Assignment, state)
    read_from = await material.of_lesson(
        runtime, module_id=assignment.module_id, student_id=assignment.student_id
    )
    return {"count": assignment.count, "material": read_from}


class Steps:
    """The steps that ask a model."""

    def __init__(self, model: BaseChatModel, tools: Sequence[BaseTool]) -> None:
        drafting = [tool for tool in tools if tool.name == "add_tasks"]
        self.drafter = agents.make(model, drafting, name="drafter")
        self.chooser = agents.make(model, name="chooser", answer=schemas.Choice)

    async def draft(self, state: schemas.State) -> dict[str, Any]:
        question = prompts.to_draft(state["material"], count=state["count"])
        return {"drafts": await tasks.drafted(self.drafter, question)}

    async def choose(self, state: schemas.State) -> dict[str, Any]:
        verified = {report["id"] for report in state["reports"] if report["verified"]}
        candidates = [draft for draft in state["drafts"] if draft["task_id"] in verified]
        if not candidates:
            return {"choice": None}
        answer = await self.chooser.ainvoke({"messages": prompts.to_choose(state["material"], candidates)})
        choice: schemas.Choice = answer["structured_response"]
        if choice["task_id"] not in verified:
            raise exceptions.RunFailed(
                ErrorCode.MODEL_FAILED,
                f"The model chose task {choice['task_id']}, which is not among those asked about.",
            )
        return {"choice": choice["task_id"]}


async def publish(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Ask a person to publish the chosen task, and answer."""
    drafted = {draft["task_id"] for draft in state["drafts"]}
    result = schemas.Result(
        tasks=[report for report in state["reports"] if report["id"] in drafted], published=[], declined=[]
    )
    if (choice := state["choice"]) is not None:
        answer = await binding.call_from_node(
            runtime, "publish_task", {"task_id": choice}, step="publish_task"
        )
        is_declined = answer.status is ToolCallStatus.DECLINED
        (result["declined"] if is_declined else result["published"]).append(choice)
    return {"result": result}


def _each_task(state: schemas.State) -> list[Send] | Literal["author"]:
    return [
        Send("author", {"material": state["material"], "task": draft, "position": position})
        for position, draft in enumerate(state["drafts"])
    ]
