"""The demo's comparison: the same task on a model of each provider, side by side."""

import json
import os
import time
from typing import Any

import httpx
import psycopg

from stack import job, services

AGENT = "practice-conditions"
SLUG = "lists-and-loops"


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say) -> str:
    """Start a run with each model, follow all, and show their figures.

    `MODELS` may name the models, separated by commas.

    Raises:
        JobError: with the step that failed.
    """
    named = os.environ.get("MODELS")
    models = [name.strip() for name in named.split(",")] if named else services.models()
    given = {"module_id": job.lesson(database, SLUG), "student_id": 1, "count": 3}
    body = {"agent": AGENT, "input": given, "models": models}
    answer = http.post("/api/agents/comparisons/", json=body)
    job.expect(answer, httpx.codes.ACCEPTED)
    started = answer.json()
    say(f"{by} gives {json.dumps(given)} to {len(models)} models: comparison {started['comparison_id']}")
    deadline = time.monotonic() + within
    for model, run_id in zip(models, started["run_ids"], strict=True):
        say(f"{model}: run {run_id}")
        job.Watch(http=http, database=database, run_id=run_id, say=say, deadline=deadline).follow()
    where = f"/api/agents/comparisons/{started['comparison_id']}/"
    found = http.get(where)
    job.expect(found, httpx.codes.OK)
    results = found.json()["results"]
    _show(results, say)
    csv = http.get(f"{where}figures.csv")
    job.expect(csv, httpx.codes.OK)
    say(f"as CSV: {len(csv.text.splitlines())} lines at {where}figures.csv")
    completed = sum(figures["status"] == "completed" for figures in results)
    if completed < len(models):
        failed = [f"{figures['model']}: {figures['error']}" for figures in results if figures["error"]]
        raise job.JobError(f"not every model completed: {'; '.join(failed)}", blamed="agent-service")
    drafts = sum(figures["drafts"] for figures in results)
    return f"demo: completed: {completed} models compared, {drafts} tasks drafted"


def _show(results: list[dict[str, Any]], say: job.Say) -> None:
    say(f"{'model':38} {'first token':>11} {'in total':>9} {'tokens':>11} {'cost':>9} {'drafts':>6}")
    for figures in results:
        tokens = f"{figures['input_tokens']}+{figures['output_tokens']}"
        first, total = (_seconds(figures[name]) for name in ("first_token", "seconds"))
        cost = figures["cost"] or "unknown"
        say(f"{figures['model']:38} {first:>11} {total:>9} {tokens:>11} {cost:>9} {figures['drafts']:>6}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
