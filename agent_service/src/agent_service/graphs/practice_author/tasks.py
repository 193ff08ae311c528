"""One task: its tests, its solution, the verdict, and one repair."""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_service.graphs import agents
from agent_service.graphs.practice_author import prompts, schemas
from agent_service.tools import binding

TESTING = {"python": "add_task_tests", "sql": "add_sql_tests"}
"""The tool that keeps a task's tests, by the language of its lesson."""

SOLVING = "add_task_solution"

MAX_ROUNDS = 2
"""Verifications of one task: the first, and one after a repair."""


def build(model: BaseChatModel, tools: Sequence[BaseTool]) -> agents.Agent:
    """Build the graph of one task."""
    steps = Steps(model, {tool.name: tool for tool in tools})
    builder: StateGraph[schemas.TaskState, Any, Any, Any] = StateGraph(
        schemas.TaskState, output_schema=schemas.TaskAnswer
    )
    builder.add_node("write_tests", steps.write_tests)
    builder.add_node("write_solution", steps.write_solution)
    builder.add_node("verify", verify)
    builder.add_node("repair", steps.repair)
    builder.add_edge(START, "write_tests")
    builder.add_edge("write_tests", "write_solution")
    builder.add_edge("write_solution", "verify")
    builder.add_conditional_edges("verify", after_verifying, ["repair", END])
    builder.add_edge("repair", "verify")
    return builder.compile()


class Steps:
    """The steps that ask a model."""

    def __init__(self, model: BaseChatModel, tools: dict[str, BaseTool]) -> None:
        self.testers = testers(model, tools)
        self.solver = agents.make(model, some(tools, SOLVING), name="solver")
        self.repairers = {
            language: agents.make(model, some(tools, testing, SOLVING), name="repairer")
            for language, testing in TESTING.items()
        }

    async def write_tests(self, state: schemas.TaskState) -> dict[str, Any]:
        language = state["material"]["lesson"]["language"]
        question = prompts.to_test(state["material"], state["task"])
        return {"tests": await tested(self.testers[language], question, language=language), "round": 0}

    async def write_solution(self, state: schemas.TaskState) -> dict[str, Any]:
        question = prompts.to_solve(state["material"], state["task"], state["tests"])
        await solved(self.solver, question)
        return {}

    async def repair(self, state: schemas.TaskState) -> dict[str, Any]:
        language = state["material"]["lesson"]["language"]
        question = prompts.to_repair(state["material"], state["task"], state["tests"], state["failures"])
        answer = await _ask(self.repairers[language], question)
        arguments, _ = agents.called(answer, TESTING[language], SOLVING)
        return {"tests": _tests(arguments) or state["tests"]}


def testers(model: BaseChatModel, tools: dict[str, BaseTool]) -> dict[str, agents.Agent]:
    """Make the agents that write tests, by the language of the lesson."""
    return {
        language: agents.make(model, some(tools, testing), name="tester")
        for language, testing in TESTING.items()
    }


async def drafted(drafter: agents.Agent, question: list[AnyMessage]) -> list[schemas.Draft]:
    """Have tasks drafted, and return them as Django keeps them."""
    arguments, result = agents.called(await _ask(drafter, question), "add_tasks")
    return [
        schemas.Draft(task_id=added["task_id"], title=added["title"], text=asked["text"])
        for added, asked in zip(result["tasks"], arguments["tasks"], strict=True)
    ]


async def tested(tester: agents.Agent, question: list[AnyMessage], *, language: str) -> list[Any]:
    """Have a task's tests written, and return them."""
    arguments, _ = agents.called(await _ask(tester, question), TESTING[language])
    return _tests(arguments)


async def solved(solver: agents.Agent, question: list[AnyMessage]) -> None:
    """Have a task's solution written."""
    agents.called(await _ask(solver, question), SOLVING)


async def verify(state: schemas.TaskState, runtime: Runtime[Any]) -> dict[str, Any]:
    """Let Django run the solution against the tests."""
    arguments = {"task_id": state["task"]["task_id"]}
    step = f"verify_task:{state['round']}"
    answer = await binding.call_from_node(
        runtime, "verify_task", arguments, step=step, index=state["position"]
    )
    verdict: Any = answer.result
    report = schemas.Report(
        id=state["task"]["task_id"], title=state["task"]["title"], verified=verdict["passed"]
    )
    return {"round": state["round"] + 1, "failures": verdict["failures"], "reports": [report]}


def after_verifying(state: schemas.TaskState) -> Literal["repair", "__end__"]:
    """Repair once what is wrong."""
    return "repair" if state["failures"] and state["round"] < MAX_ROUNDS else "__end__"


async def _ask(agent: agents.Agent, question: list[AnyMessage]) -> list[AnyMessage]:
    answer = await agent.ainvoke({"messages": question})
    messages: list[AnyMessage] = answer["messages"]
    return messages


def _tests(arguments: dict[str, Any]) -> list[Any]:
    tables = [{"create": arguments["create"]}] if "create" in arguments else []
    tests: list[Any] = arguments.get("tests", [])
    return tables + tests


def some(tools: dict[str, BaseTool], *names: str) -> list[BaseTool]:
    """Return the tools of these names, as far as the mandate has them."""
    return [tools[name] for name in names if name in tools]
