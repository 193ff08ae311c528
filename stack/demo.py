"""`make demo`: the main job once, as a person would do it over REST, with every step shown."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from stack import assembly, processes, services, state

FOLDER = state.Folder(path=services.ROOT / ".mandate" / "demo")
AGENT = "practice-author"
ENDED = frozenset({"completed", "failed", "cancelled"})
ANSWER_CHARACTERS = 100


class DemoError(Exception):
    """The job did not end as it should."""


def demo() -> None:
    """Start a stack of its own, do the job, stop the stack.

    Raises:
        DemoError, StackError, ProcessError, PostgresError: with the step and what is known.
    """
    # A terminal's hang-up or `kill` ends it as Ctrl-C does: nothing is left running.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    FOLDER.make()
    steps = Steps()
    databases = assembly.open_databases(FOLDER, steps.say)
    try:
        layout = _layout(databases)
        login = assembly.prepare(layout, FOLDER, steps.say)
        with assembly.running(layout, FOLDER, steps.say) as started:
            try:
                summary = _do_the_job(layout, login, steps)
            finally:
                steps.say("stopping everything")
                processes.stop(*started)
    finally:
        if databases.server is not None:
            databases.server.stop()
    print(summary)


@dataclass(slots=True)
class Steps:
    """Prints what happens, with the seconds since the start."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)


def _do_the_job(layout: services.Layout, login: state.Login, steps: Steps) -> str:
    headers = {"Authorization": f"Token {login.token}"}
    with httpx.Client(base_url=layout.django_url, headers=headers, timeout=60) as http:
        run_id = _start(http, login, steps)
        run = _follow(http, run_id, steps)
        while run["status"] == "awaiting_approval":
            _approve(http, run_id, login, steps)
            run = _follow(http, run_id, steps)
        if run["status"] != "completed":
            raise DemoError(f"the run ended as {run['status']}: {run['error']}")
        _show_result(run, steps)
        return _summary(run)


def _start(http: httpx.Client, login: state.Login, steps: Steps) -> str:
    task = {"module_id": 1, "student_id": 1, "count": 3}
    answer = http.post("/api/agents/runs/", json={"agent": AGENT, "input": task})
    _expect(answer, httpx.codes.ACCEPTED)
    run_id: str = answer.json()["run_id"]
    steps.say(f"{login.username} starts {AGENT} with {json.dumps(task)}: run {run_id}")
    return run_id


def _follow(http: httpx.Client, run_id: str, steps: Steps) -> dict[str, Any]:
    """Show the run's events until it has ended or waits for a person, and return the run."""
    for event, data in _events(http, run_id):
        if event == "status":
            steps.say(f"run: {data['status']}")
            if data["status"] in ENDED | {"awaiting_approval"}:
                break
        elif event.partition("|")[0] == "updates":
            for line in _told_by(data):
                steps.say(line)
    answer = http.get(f"/api/agents/runs/{run_id}/")
    _expect(answer, httpx.codes.OK)
    run: dict[str, Any] = answer.json()
    return run


def _events(http: httpx.Client, run_id: str) -> Iterator[tuple[str, Any]]:
    with http.stream("GET", f"/api/agents/runs/{run_id}/events/", timeout=300) as answer:
        if answer.status_code != httpx.codes.OK:
            answer.read()
            _expect(answer, httpx.codes.OK)
        event = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json.loads(value)


def _told_by(update: dict[str, Any]) -> Iterator[str]:
    for node, change in update.items():
        messages = change.get("messages", []) if isinstance(change, dict) else []
        for message in messages if isinstance(messages, list) else [messages]:
            if message["type"] == "ai":
                for call in message.get("tool_calls", []):
                    yield f"{node}: the model calls {call['name']}({_short(call['args'])})"
            elif message["type"] == "tool":
                yield f"{node}: {message['name']} answers {_short(message['content'])}"


def _approve(http: httpx.Client, run_id: str, login: state.Login, steps: Steps) -> None:
    page = http.get("/api/agents/approvals/", params={"status": "pending"})
    _expect(page, httpx.codes.OK)
    for approval in page.json()["results"]:
        if approval["run_id"] != run_id:
            continue
        steps.say(
            f"approval asked for: {approval['message']} {approval['tool']}({_short(approval['arguments'])})"
        )
        answer = http.post(
            f"/api/agents/approvals/{approval['approval_id']}/decision/", json={"decision": "approve"}
        )
        _expect(answer, httpx.codes.OK)
        steps.say(f"{login.username} approves: done in the approving transaction")


def _show_result(run: dict[str, Any], steps: Steps) -> None:
    for task in run["result"]["tasks"]:
        steps.say(
            f"task {task['id']}: {task['title']} ({'verified' if task['verified'] else 'not verified'})"
        )
    for used in run["usage"]:
        steps.say(
            f"{used['model']}: {used['calls']} calls, {used['input_tokens']} + {used['output_tokens']} tokens"
        )


def _summary(run: dict[str, Any]) -> str:
    tasks = run["result"]["tasks"]
    verified = Counter(task["verified"] for task in tasks)[True]
    published = len(run["result"]["published"])
    return (
        f"demo: {run['status']}: {len(tasks)} tasks drafted, {verified} solutions verified, "
        f"{published} published after approval"
    )


def _layout(databases: assembly.Databases) -> services.Layout:
    return services.Layout(
        database_url=databases.django,
        agent_database_url=databases.agent,
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=None if services.has_provider() else processes.free_port(),
        secrets=state.secrets_of(FOLDER),
    )


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise DemoError(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text}"
        )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= ANSWER_CHARACTERS else text[:ANSWER_CHARACTERS] + " ..."


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
