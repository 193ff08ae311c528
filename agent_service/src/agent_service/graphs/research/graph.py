"""From a question to an answer that cites what was found: search, then summary and check side by side.

What passes by itself is tried again: a node first, with its back-off, then the run from its last checkpoint.
What does not, a model that cannot do its step, is what the node `handle_error` is for: the person gets the
records that were found, and is told what is missing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.errors import NodeTimeoutError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy

from agent_service import exceptions, models
from agent_service.graphs import agents, inputs
from agent_service.graphs.research import prompts, schemas
from agent_service.graphs.research import verdict as judging
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode

RECORDS = 5
STEP_TIMEOUT = timedelta(seconds=60)
"""Of one attempt of a step."""

NOTHING_FOUND = "Nothing in the course has to do with this question."


def make_graph(
    model: BaseChatModel,
    tools: Sequence[BaseTool],  # noqa: ARG001 - a factory may ask for them; the nodes call them by name
    fallback: BaseChatModel | None = None,
    *,
    step_timeout: timedelta = STEP_TIMEOUT,
) -> agents.Agent:
    """Build the graph for a model, and another for what the first cannot do."""
    steps = Steps(model, fallback)
    builder: StateGraph[schemas.State, Any, schemas.Query, schemas.Answer] = StateGraph(
        schemas.State, input_schema=schemas.Query, output_schema=schemas.Answer
    )
    patience: dict[str, Any] = {"retry_policy": again(), "timeout": step_timeout}
    builder.add_node("research", research, **patience)
    builder.add_node("nothing_found", nothing_found)
    builder.add_node("summarise", steps.summarise, **patience)
    builder.add_node("check", steps.check, **patience)
    builder.add_node("judge", judge)
    builder.add_node("answer", answer)
    builder.add_node("handle_error", handle_error)
    builder.add_edge(START, "research")
    builder.add_conditional_edges("research", guard, ["summarise", "check", "nothing_found"])
    builder.add_edge(["summarise", "check"], "judge")
    builder.add_conditional_edges("judge", judged, ["answer", "handle_error"])
    for last in ("nothing_found", "answer", "handle_error"):
        builder.add_edge(last, END)
    return builder.compile(name="research")


def again() -> RetryPolicy:
    """Return when a node is tried again: at once, then after a pause that doubles."""
    return RetryPolicy(max_attempts=3, initial_interval=0.5, backoff_factor=2, retry_on=_is_passing)


async def research(state: schemas.State, runtime: Runtime[Any]) -> dict[str, Any]:
    """Search the course, and begin anew whatever an earlier question of the conversation left."""
    query = inputs.checked(schemas.Query, state).query
    found = await binding.call_from_node(
        runtime, "search_course", {"query": query[:1000], "limit": RECORDS}, step="search_course"
    )
    result: Any = found.result
    if found.truncated:
        raise exceptions.RunFailed(ErrorCode.TOOL_FAILED, f"The search found too much: {found.note}")
    records: list[schemas.Record] = result["records"]
    messages = [HumanMessage(query), AIMessage(f"Found:\n\n{prompts.listed(records) or 'nothing'}")]
    unset = dict.fromkeys(("summary", "findings", "summary_fault", "findings_fault"))
    return {"messages": messages, "records": records, **unset}


def guard(state: schemas.State) -> list[str]:
    """Ask no model about nothing."""
    return ["summarise", "check"] if state["records"] else ["nothing_found"]


class Steps:
    """The steps that ask a model; they run side by side."""

    def __init__(self, model: BaseChatModel, fallback: BaseChatModel | None) -> None:
        self.writer = agents.make(model, name="writer", answer=schemas.ResearchSummary, fallback=fallback)
        self.checker = agents.make(model, name="checker", answer=schemas.ResearchFindings, fallback=fallback)

    async def summarise(self, state: schemas.State) -> dict[str, Any]:
        return await _asked(self.writer, prompts.to_summarise(state["query"], state["records"]), "summary")

    async def check(self, state: schemas.State) -> dict[str, Any]:
        return await _asked(self.checker, prompts.to_check(state["query"], state["records"]), "findings")


async def judge(state: schemas.State) -> dict[str, Any]:
    """Join the branches: hold what they say to the records."""
    summary, findings = _told(state)
    if summary is None or findings is None:
        faults = [fault for fault in (state["summary_fault"], state["findings_fault"]) if fault]
        return {"verdict": schemas.Verdict(passed=False, reasons=faults)}
    return {"verdict": judging.judge(state["records"], summary, findings)}


def judged(state: schemas.State) -> Literal["answer", "handle_error"]:
    """Let nothing through that does not hold."""
    return "answer" if state["verdict"]["passed"] else "handle_error"


async def answer(state: schemas.State) -> dict[str, Any]:
    """Answer with the records that were cited."""
    summary, findings = _told(state)
    assert summary is not None, "the verdict passed"
    assert findings is not None, "the verdict passed"
    cited = {*summary.refs, *(finding.ref for finding in findings.findings)}
    return _answered(
        state,
        summary.answer,
        verdict=state["verdict"],
        citations=[record for record in state["records"] if record["ref"] in cited],
        findings=[finding.model_dump() for finding in findings.findings],
    )


async def nothing_found(state: schemas.State) -> dict[str, Any]:
    """Say so."""
    return _answered(state, NOTHING_FOUND, verdict=schemas.Verdict(passed=True, reasons=[]))


async def handle_error(state: schemas.State) -> dict[str, Any]:
    """Give what was found, and say that there is no answer that holds."""
    titles = ", ".join(f"{record['title']} [{record['ref']}]" for record in state["records"])
    return _answered(
        state,
        f"There is no answer that holds to what was found. These records may help: {titles}.",
        verdict=state["verdict"],
        citations=state["records"],
        error=" ".join(state["verdict"]["reasons"]),
    )


def _told(state: schemas.State) -> tuple[schemas.ResearchSummary | None, schemas.ResearchFindings | None]:
    summary, findings = state["summary"], state["findings"]
    return (
        schemas.ResearchSummary.model_validate(summary) if summary else None,
        schemas.ResearchFindings.model_validate(findings) if findings else None,
    )


def _answered(
    state: schemas.State,
    text: str,
    *,
    verdict: schemas.Verdict,
    citations: Sequence[schemas.Record] = (),
    findings: Sequence[dict[str, str]] = (),
    error: str | None = None,
) -> dict[str, Any]:
    result = schemas.Result(
        query=state["query"],
        answer=text,
        citations=list(citations),
        findings=list(findings),
        verdict=verdict,
        error=error,
    )
    return {"result": result, "verdict": verdict, "messages": [AIMessage(text)]}


async def _asked(agent: agents.Agent, question: list[AnyMessage], what: str) -> dict[str, Any]:
    try:
        told = await agent.ainvoke({"messages": question})
    except Exception as error:
        # Only what a model did wrong for good: the rest is tried again, or fails the run.
        known = models.failure(error) or error
        is_the_models = isinstance(known, exceptions.RunFailed) and known.code is ErrorCode.MODEL_FAILED
        if models.is_passing(error) or not is_the_models:
            raise
        return {what: None, f"{what}_fault": f"The {what} failed: {known}"}
    return {what: told["structured_response"].model_dump(), f"{what}_fault": None}


def _is_passing(error: Exception) -> bool:
    return isinstance(error, NodeTimeoutError | exceptions.TryAgain) or models.is_passing(error)
