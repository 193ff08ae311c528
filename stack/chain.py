"""The demo's job of three agents, each with its own account: conditions, tests, solutions; then a person decides."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from stack import job, ledger

SLUG = "lists-and-loops"
COUNT = 3
ENOUGH = "One new task is enough for this lesson; this one stays a draft."


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say) -> str:
    """Have a lesson's tasks written by three agents, publish one of them, and tell what the database has in the end.

    Raises:
        JobError: with the step that failed.
    """
    task = {"module_id": job.lesson(database, SLUG), "student_id": 1, "count": COUNT}
    answer = http.post("/api/practice/chains/", json=task)
    job.expect(answer, httpx.codes.ACCEPTED)
    started = answer.json()
    say(f"{by} lets three agents write, by {json.dumps(task)}: chain {started['chain_id']}")
    deadline = time.monotonic() + within
    chain = Chain(http=http, database=database, say=say, deadline=deadline, chain_id=started["chain_id"])
    waiting = chain.follow()
    _decide(http, waiting, by=by, say=say)
    for watch in waiting:
        say(f"chain: {chain.labels[watch.run_id]} goes on")
        _met(watch)
    if (status := chain.seen()["status"]) != "completed":
        raise job.JobError(f"the chain is {status}, with nothing left to follow", blamed="django")
    counts = ledger.count(database, chain.watches)
    return (
        f"demo: completed: {counts.agents} agents, {counts.drafted} tasks drafted, "
        f"{counts.verified} solutions verified, {counts.published} published after approval, "
        f"{counts.declined} declined"
    )


@dataclass(slots=True, kw_only=True)
class Chain:
    """Follows a chain from run to run."""

    http: httpx.Client
    database: psycopg.Connection
    say: job.Say
    deadline: float
    """On the monotonic clock."""

    chain_id: int
    watches: dict[str, job.Watch] = field(default_factory=dict)
    """By the run that is watched."""

    labels: dict[str, str] = field(default_factory=dict)
    """What each of these runs is for."""

    def seen(self) -> dict[str, Any]:
        """Return how far it is."""
        answer = self.http.get(f"/api/practice/chains/{self.chain_id}/")
        job.expect(answer, httpx.codes.OK)
        chain: dict[str, Any] = answer.json()
        return chain

    def follow(self) -> list[job.Watch]:
        """Follow each run as it comes, until none is left; return those that wait for a person."""
        waiting = []
        while fresh := [step for step in self.seen()["steps"] if step["run_id"] not in self.watches]:
            for step in fresh:
                watch = self._watch(step)
                if _met(watch) == "awaiting_approval":
                    waiting.append(watch)
        return waiting

    def _watch(self, step: dict[str, Any]) -> job.Watch:
        if step["run_id"] is None:
            raise job.JobError(f"{step['kind']} could not begin: {step['refused']}", blamed="django")
        about = "the lesson" if step["task_id"] is None else f"task {step['task_id']}"
        again = ", again after a failed check" if step["round"] > 1 else ""
        label = f"{step['kind']} of {about}{again}"
        self.say(f"chain: {label}: run {step['run_id']}")
        watch = job.Watch(
            http=self.http,
            database=self.database,
            run_id=step["run_id"],
            say=self.say,
            deadline=self.deadline,
        )
        self.watches[watch.run_id] = watch
        self.labels[watch.run_id] = label
        return watch


def _met(watch: job.Watch) -> str:
    """Follow a run to its end, or to its question, and return its status."""
    run = watch.follow()
    status: str = run["status"]
    if status not in {"completed", "awaiting_approval"}:
        raise job.JobError(f"run {watch.run_id} ended as {status}: {run['error']}", blamed="agent-service")
    return status


def _decide(http: httpx.Client, waiting: list[job.Watch], *, by: str, say: job.Say) -> None:
    """Read all questions, approve the first task's as it is shown, and decline the others."""
    questions = [asked for watch in waiting for asked in job.asked(http, watch.run_id, by=by, say=say)]
    for place, question in enumerate(sorted(questions, key=lambda asked: asked["arguments"]["task_id"])):
        call = f"{question['tool']}({job.short(question['arguments'])})"
        if place == 0:
            job.decide(http, question, {"decision": "approve"})
            say(f"{by} approves {call}")
        else:
            job.decide(http, question, {"decision": "reject", "comment": ENOUGH})
            say(f"{by} declines {call}: {ENOUGH}")
