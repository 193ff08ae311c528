"""The story of a run is Django's own: it is told with the agent service and its database gone."""

import json

import pytest

pytestmark = pytest.mark.e2e

TOLD = ["created", "session_opened", "called", "answered", "approval_asked", "approval_decided"]


@pytest.fixture
def lose_agent_service(stack):
    """Return a function that ends the agent service and drops its database; both are new afterwards."""
    lost = []

    def lose():
        stack.stop("agent", "worker")
        lost.append(stack.drop_agent_database())

    yield lose
    for database in lost:
        stack.make_agent_database(database)
        stack.start("agent")
        stack.start("worker")


def test_the_whole_story_is_told_when_the_agent_services_database_is_gone(author, stack, lose_agent_service):
    run_id = author.start(count=1)
    author.wait(run_id, "awaiting_approval")
    (approval,) = author.approvals(run_id)
    author.decide(approval["approval_id"]).raise_for_status()
    author.wait(run_id, "completed")
    before = author.http.get(f"/api/agents/runs/{run_id}/audit/").raise_for_status().json()

    lose_agent_service()
    by_rest = author.http.get(f"/api/agents/runs/{run_id}/audit/").raise_for_status().json()
    by_command = json.loads(stack.manage("mandate_audit", run_id, "--json"))

    events = [entry["event"] for entry in by_rest["entries"]]
    assert by_command["entries"] == by_rest["entries"] == before["entries"]
    assert by_rest["run"]["status"] == "completed"
    assert [event for event in TOLD if event not in events] == []
    decided = next(entry for entry in by_rest["entries"] if entry["event"] == "approval_decided")
    assert decided["by"] == "author"
