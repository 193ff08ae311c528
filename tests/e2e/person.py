"""A person who uses the REST API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Speaks to Django with a token of their own."""

    http: httpx.Client

    def start(self, module_id: int = 1, count: int = 3) -> str:
        answer = self.http.post(
            "/api/agents/runs/",
            json={
                "agent": "practice-author",
                "input": {"module_id": module_id, "student_id": 1, "count": count},
            },
        )
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer.json()["run_id"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.http.get(f"/api/agents/runs/{run_id}/").raise_for_status().json()

    def wait(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """Follow the run's events until it has one of the statuses, or has ended."""
        for event, data in self.events(run_id):
            if event == "status" and data["status"] in {*statuses, *ENDED}:
                break
        found = self.run(run_id)
        assert found["status"] in statuses, found
        return found

    def events(self, run_id: str, last_event_id: str | None = None) -> Iterator[tuple[str, Any]]:
        headers = {"Accept": "text/event-stream"} | (
            {"Last-Event-ID": last_event_id} if last_event_id else {}
        )
        with self.http.stream("GET", f"/api/agents/runs/{run_id}/events/", headers=headers) as answer:
            assert answer.status_code == httpx.codes.OK, answer.read()
            event = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    yield event, json.loads(value)

    def start_chain(self, **more: Any) -> int:
        """Have three agents write tasks for the first lesson."""
        answer = self.http.post("/api/practice/chains/", json={"module_id": 1, "student_id": 1} | more)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return answer.json()["chain_id"]

    def chain(self, chain_id: int) -> dict[str, Any]:
        return self.http.get(f"/api/practice/chains/{chain_id}/").raise_for_status().json()

    def follow_chain(self, chain_id: int) -> dict[str, Any]:
        """Wait for the end or the question of each run of a chain as it comes, and return the chain."""
        followed: set[str] = set()
        while fresh := {step["run_id"] for step in self.chain(chain_id)["steps"]} - followed:
            for run_id in fresh:
                self.wait(run_id, "completed", "awaiting_approval")
            followed |= fresh
        return self.chain(chain_id)

    def approvals(self, run_id: str) -> list[dict[str, Any]]:
        asked = {"status": "pending", "run": run_id}
        page = self.http.get("/api/agents/approvals/", params=asked).raise_for_status().json()
        return page["results"]

    def decide(self, approval_id: str, decision: str = "approve", **more: Any) -> httpx.Response:
        return self.http.post(
            f"/api/agents/approvals/{approval_id}/decision/", json={"decision": decision} | more
        )
