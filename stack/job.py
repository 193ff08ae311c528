"""The demo's job of one agent, over the people's REST API as a user would: start, follow, approve, read the result."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from stack import ledger

AGENT = "practice-author"
ENDED = frozenset({"completed", "failed", "cancelled"})
PROBLEM = "application/problem+json"
SHOWN = 100
"""Characters of arguments and answers that are printed."""

Say = Callable[[str], None]


class JobError(Exception):
    """A step did not go as it should."""

    def __init__(self, message: str, *, blamed: str | None) -> None:
        super().__init__(message)
        self.blamed = blamed
        """The process whose log will tell more, if any will."""


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: Say) -> str:
    """Have practice tasks written for one lesson and one student, and publish the one that is asked about.

    What came of it is told as the database has it.

    Raises:
        JobError: with the step that failed.
    """
    return write(http, database, module_id=1, by=by, within=within, say=say)


def write(
    http: httpx.Client, database: psycopg.Connection, *, module_id: int, by: str, within: float, say: Say
) -> str:
    """Do the job for one lesson."""
    run_id = _start(http, module_id=module_id, by=by, say=say)
    deadline = time.monotonic() + within
    watch = Watch(http=http, database=database, run_id=run_id, say=say, deadline=deadline)
    run = watch.follow()
    while run["status"] == "awaiting_approval":
        _approve(http, run_id, by=by, say=say)
        run = watch.follow()
    if run["status"] != "completed":
        raise JobError(f"the run ended as {run['status']}: {run['error']}", blamed="agent-service")
    _show(run, say)
    counts = ledger.count(database, [run_id])
    return (
        f"demo: {run['status']}: {counts.drafted} tasks drafted, {counts.verified} solutions verified, "
        f"{counts.published} published after approval"
    )


@dataclass(slots=True, kw_only=True)
class Watch:
    """Follows one run and tells what is new: the stream says what happens, the ledger what was done."""

    http: httpx.Client
    database: psycopg.Connection
    run_id: str
    say: Say
    deadline: float
    """On the monotonic clock."""

    last_event_id: str | None = None
    told: dict[str, str] = field(default_factory=dict)
    """Calls of the ledger by id, with the status that was told."""

    def follow(self) -> dict[str, Any]:
        """Return the run when it has ended or waits for a person."""
        for event, data in self._events():
            if event == "status":
                self.say(f"run: {data['status']}")
                if data["status"] in ENDED | {"awaiting_approval"}:
                    break
            elif event.partition("|")[0] == "updates":
                self._tell(data, is_the_graphs=event == "updates")
                self._tell_ledger()
        self._tell_ledger()
        answer = self.http.get(f"/api/agents/runs/{self.run_id}/")
        expect(answer, httpx.codes.OK)
        run: dict[str, Any] = answer.json()
        return run

    def _events(self) -> Iterator[tuple[str, Any]]:
        """Yield events from where the last stream ended."""
        headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        with self.http.stream("GET", f"/api/agents/runs/{self.run_id}/events/", headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                expect(answer, httpx.codes.OK)
            event, data = "", ""
            for line in answer.iter_lines():
                self._check_time()
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.last_event_id = value
                elif not line and data:
                    yield event, json.loads(data)
                    data = ""

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise JobError("the run does not come to an end in time", blamed="agent-service")

    def _tell(self, update: dict[str, Any], *, is_the_graphs: bool) -> None:
        for node, change in update.items():
            messages = change.get("messages", []) if isinstance(change, dict) else None
            if node.startswith("__") or messages is None:
                continue
            if is_the_graphs or "messages" not in change:
                self.say(f"graph: step {node!r} is done")
            for message in messages:
                for call in message.get("tool_calls", []) if message["type"] == "ai" else []:
                    self.say(f"model: asks for {call['name']}({short(call['args'])})")

    def _tell_ledger(self) -> None:
        for call in ledger.calls(self.database, self.run_id):
            if self.told.get(call.id) == call.status:
                continue
            self.told[call.id] = call.status
            result = (call.response or {}).get("result")
            answer = f" -> {short(result)}" if call.status == "succeeded" else ""
            self.say(f"Django: {call.agent} {call.tool}({short(call.arguments)}): {call.status}{answer}")


def lesson(database: psycopg.Connection, slug: str) -> int:
    """Return the id of a lesson."""
    found = database.execute("SELECT id FROM practice_module WHERE slug = %s", [slug]).fetchone()
    if found is None:
        raise JobError(f"the lesson {slug!r} is not there", blamed="django")
    module_id: int = found[0]
    return module_id


def _start(http: httpx.Client, *, module_id: int, by: str, say: Say) -> str:
    task = {"module_id": module_id, "student_id": 1, "count": 3}
    answer = http.post("/api/agents/runs/", json={"agent": AGENT, "input": task})
    expect(answer, httpx.codes.ACCEPTED)
    run_id: str = answer.json()["run_id"]
    say(f"{by} starts {AGENT} with {json.dumps(task)}: run {run_id}")
    return run_id


def _approve(http: httpx.Client, run_id: str, *, by: str, say: Say) -> None:
    for approval in asked(http, run_id, by=by, say=say):
        decide(http, approval, {"decision": "approve"})
        say(f"{by} approves")


def asked(http: httpx.Client, run_id: str, *, by: str, say: Say) -> list[dict[str, Any]]:
    """Return what a run that waits asks people, and tell it."""
    page = http.get("/api/agents/approvals/", params={"status": "pending"})
    expect(page, httpx.codes.OK)
    found = [approval for approval in page.json()["results"] if approval["run_id"] == run_id]
    if not found:
        raise JobError("the run waits for an approval that nobody is asked for", blamed="django")
    for approval in found:
        say(f"{by} is asked: {approval['message']} {approval['tool']}({short(approval['arguments'])})")
    return found


def decide(http: httpx.Client, approval: dict[str, Any], decision: dict[str, str]) -> None:
    """Answer a question."""
    where = f"/api/agents/approvals/{approval['approval_id']}/decision/"
    expect(http.post(where, json=decision), httpx.codes.OK)


def _show(run: dict[str, Any], say: Say) -> None:
    for task in run["result"]["tasks"]:
        say(f"result: task {task['id']}, {task['title']}{', verified' if task['verified'] else ''}")
    show_usage(run, say)


def show_usage(run: dict[str, Any], say: Say) -> None:
    """Tell which prompts the run was worked on with, and what its models used."""
    say(f"prompts: version {run['prompt_version']}")
    for used in run["usage"]:
        tokens = f"{used['input_tokens']} tokens in, {used['output_tokens']} out"
        say(f"usage: {used['model']}, {used['calls']} calls, {tokens}")
    if run["cost"] is not None:
        say(f"cost: {run['cost']}, by the prices of the catalogue")


def expect(answer: httpx.Response, status: int) -> None:
    """Raise what was answered instead of `status`."""
    if answer.status_code != status:
        asked = f"{answer.request.method} {answer.request.url.path}"
        told = answer.text[:1000]
        if answer.is_client_error and answer.headers.get("content-type") == PROBLEM:
            told = answer.json()["detail"]
        raise JobError(
            f"{asked} answered {answer.status_code}: {told}",
            blamed=None if answer.is_client_error else "django",
        )


def short(value: Any) -> str:
    """Return JSON that fits on a line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + " ..."
