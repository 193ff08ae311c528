"""The demo's research job: a question, in the short form of the REST API, and an answer with its citations."""

import os
import time
from typing import Any

import httpx
import psycopg

from stack import job

QUESTION = "How do I find the customers without any orders with a join?"
"""Unless `QUERY` gives another."""


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say) -> str:
    """Ask a question about the course, follow the run, and show what the answer rests on.

    Raises:
        JobError: with the step that failed.
    """
    question = os.environ.get("QUERY") or QUESTION
    answer = http.post("/api/agents/runs/", json={"query": question})
    job.expect(answer, httpx.codes.ACCEPTED)
    run_id: str = answer.json()["run_id"]
    say(f"{by} asks: {question}: run {run_id}")
    deadline = time.monotonic() + within
    run = job.Watch(http=http, database=database, run_id=run_id, say=say, deadline=deadline).follow()
    if run["status"] != "completed":
        raise job.JobError(f"the run ended as {run['status']}: {run['error']}", blamed="agent-service")
    result = run["result"]
    _show(result, say)
    job.show_usage(run, say)
    verdict = "holds to its records" if result["verdict"]["passed"] else "does not hold to its records"
    return f"demo: {run['status']}: the answer cites {len(result['citations'])} records, and {verdict}"


def _show(result: dict[str, Any], say: job.Say) -> None:
    say(f"answer: {result['answer']}")
    for record in result["citations"]:
        say(
            f"cites: [{record['ref']}] {record['title']}, rank {record['rank']}: {job.short(record['snippet'])}"
        )
    for finding in result["findings"]:
        say(f"found: {finding['claim']} [{finding['ref']}] {job.short(finding['quote'])}")
    for reason in result["verdict"]["reasons"]:
        say(f"verdict: {reason}")
