"""The demo's job of three agents, each with its own account: conditions, then tests, then solutions."""

import json
import time
from typing import Any

import httpx
import psycopg

from stack import job, ledger

SLUG = "lists-and-loops"
COUNT = 3


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say) -> str:
    """Start a chain, follow each of its runs as it comes, and tell what the database has in the end.

    Raises:
        JobError: with the step that failed.
    """
    task = {"module_id": job.lesson(database, SLUG), "student_id": 1, "count": COUNT}
    answer = http.post("/api/practice/chains/", json=task)
    job.expect(answer, httpx.codes.ACCEPTED)
    chain = answer.json()
    say(f"{by} lets three agents write, by {json.dumps(task)}: chain {chain['chain_id']}")
    deadline = time.monotonic() + within
    followed: set[str] = set()
    while waiting := [step for step in chain["steps"] if step["run_id"] not in followed]:
        for step in waiting:
            _follow(http, database, step, deadline=deadline, say=say)
            followed.add(step["run_id"])
        chain = http.get(f"/api/practice/chains/{chain['chain_id']}/").json()
    solved = {step["task_id"]: step["verified"] for step in chain["steps"] if step["kind"] == "solution"}
    if len(solved) != COUNT:
        raise job.JobError(f"{len(solved)} of {COUNT} tasks came as far as a solution", blamed="django")
    accounts = {call.agent for run_id in followed for call in ledger.calls(database, run_id)}
    verified = sum(solved.values())
    return f"demo: completed: {len(followed)} runs of {len(accounts)} agents, {verified} solutions verified"


def _follow(
    http: httpx.Client, database: psycopg.Connection, step: dict[str, Any], *, deadline: float, say: job.Say
) -> None:
    if step["run_id"] is None:
        raise job.JobError(f"{step['kind']} could not begin: {step['refused']}", blamed="django")
    about = "the lesson" if step["task_id"] is None else f"task {step['task_id']}"
    again = ", again after a failed check" if step["round"] > 1 else ""
    say(f"chain: {step['kind']} of {about}{again}: run {step['run_id']}")
    watch = job.Watch(http=http, database=database, run_id=step["run_id"], say=say, deadline=deadline)
    run = watch.follow()
    if run["status"] != "completed":
        raise job.JobError(f"{step['kind']} ended as {run['status']}: {run['error']}", blamed="agent-service")
