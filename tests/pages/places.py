"""Every page, with something on it."""

import httpx

from tests.e2e import conftest as e2e
from tests.e2e import person

MODELS = {
    "gpt-4.1-mini": ("0.4", "1.6"),
    "claude-sonnet-4-6": ("3", "15"),
    "gemini-3-flash-preview": ("0.3", "2.5"),
}
"""One of each provider, with prices of a million tokens in and out."""

KEEP = """
    INSERT INTO mandate_cataloguemodel
    (name, provider, input_price, output_price, base_url, use_responses_api, fallback, enabled)
    VALUES (%s, %s, %s, %s, '', false, '', true) RETURNING name
"""
PROVIDERS = ("openai", "anthropic", "google")
FORGET = "DELETE FROM mandate_cataloguemodel RETURNING name"

DRAFT = """
    SELECT link.object_id FROM mandate_toolcalllink AS link
    JOIN mandate_toolcall AS call ON call.id = link.tool_call_id
    WHERE call.run_id = %s AND call.tool = 'add_tasks'
"""


def prepare(stack: e2e.Stack, author: person.Person) -> dict[str, str]:
    """Have work done, and return addresses by the names of their pictures."""
    finished, waiting = (author.start(count=count) for count in (3, 1))
    for run_id in (finished, waiting):
        author.wait(run_id, "awaiting_approval")
    for approval in author.approvals(finished):
        author.decide(approval["approval_id"], comment="Fits the lesson.").raise_for_status()
    author.wait(finished, "completed")
    comparison = _compare(stack, author)
    chain = author.follow_chain(author.start_chain(count=2))
    [asked] = author.approvals(waiting)
    [(draft,)] = stack.query(DRAFT, waiting)
    return {
        "agents": "/agents/",
        "start": "/agents/practice-author/start/",
        "runs": "/agents/runs/",
        "run": f"/agents/runs/{finished}/",
        "waiting": f"/agents/runs/{waiting}/",
        "approvals": "/agents/approvals/",
        "approval": f"/agents/approvals/{asked['approval_id']}/",
        "drafts": "/agents/drafts/practice.task/",
        "draft": f"/agents/drafts/practice.task/record/{draft}/",
        "comparisons": "/agents/comparisons/",
        "comparison": f"/agents/comparisons/{comparison}/",
        "chains": "/practice/chains/",
        "chain": f"/practice/chains/{chain['chain_id']}/",
        "figures": "/agents/figures/",
        "operation": "/agents/operation/",
    }


def _compare(stack: e2e.Stack, author: person.Person) -> int:
    """Give three models the same work; of the drafts of each, people approve one more than of the next."""
    for provider, (name, prices) in zip(PROVIDERS, MODELS.items(), strict=True):
        stack.query(KEEP, name, provider, *prices)
    given = {"module_id": 1, "student_id": 1, "count": 2}
    body = {"agent": "practice-author", "input": given, "models": list(MODELS), "name": "Two tasks on lists"}
    answer = author.http.post("/api/agents/comparisons/", json=body)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    for place, run_id in enumerate(answer.json()["run_ids"]):
        author.wait(run_id, "awaiting_approval")
        for number, approval in enumerate(author.approvals(run_id)):
            decision = "approve" if number >= place else "reject"
            author.decide(approval["approval_id"], decision).raise_for_status()
        author.wait(run_id, "completed")
    stack.query(FORGET)
    return answer.json()["comparison_id"]
