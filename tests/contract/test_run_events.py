"""What the people's API streams fits `run-events.schema.json`, with the real agent service behind it."""

import json

import pytest

from mandate.services import agents, dispatcher
from tests.contract import exchanges

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def followed(http, both_sides):
    """Start a run of a graph over REST, and return the events of its stream until it has ended."""

    def follow(graph):
        agent = agents.ensure(f"agent-{graph}", graph=graph, default_model="gpt-5-mini")
        started = http.post("/api/agents/runs/", json={"agent": agent.slug, "input": {"text": "hello"}})
        dispatcher.deliver_due()
        with http.stream("GET", f"/api/agents/runs/{started.json()['run_id']}/events/") as stream:
            return list(_events(stream.iter_lines()))

    return follow


def _events(lines):
    event = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            event[name] = json.loads(value) if name == "data" else value
        elif event:
            yield event
        if not line:
            event = {}


@pytest.mark.parametrize(
    ("graph", "told", "end"),
    [
        pytest.param("telling", {"custom", "messages", "updates"}, "completed", id="answers"),
        pytest.param("asking", {"error"}, "failed", id="fails"),
    ],
)
def test_a_stream_fits_its_schema(followed, graph, told, end):
    schema = exchanges.Document("run-events.schema.json")

    events = followed(graph)

    assert [fault for event in events for fault in schema.faults(event)] == []
    assert told | {"status"} == {event["event"] for event in events}
    assert events[-1]["data"]["status"] == end
