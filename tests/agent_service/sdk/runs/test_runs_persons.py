"""What a person's own token may do with a thread of a mandate: read it."""

from dataclasses import dataclass, field

import pytest

from shared_schemas import tokens


@dataclass(frozen=True)
class Change:
    method: str
    path: str
    body: dict = field(default_factory=dict)
    answer: tuple = (403, "forbidden")


def command(method, **params):
    return {"id": 1, "method": method, "params": params}


RUN = {"assistant_id": "adding", "input": {}}
DENIED = (200, "permission_denied")

CHANGES = {
    "update state": Change("POST", "/threads/{thread_id}/state", {"values": {"trail": ["mine"]}}),
    "copy": Change("POST", "/threads/{thread_id}/copy"),
    "patch": Change("PATCH", "/threads/{thread_id}", {"metadata": {"mine": True}}),
    "delete": Change("DELETE", "/threads/{thread_id}"),
    "run": Change("POST", "/threads/{thread_id}/runs", RUN),
    "run and wait": Change("POST", "/threads/{thread_id}/runs/wait", RUN),
    "run and stream": Change("POST", "/threads/{thread_id}/runs/stream", RUN),
    "later run": Change("POST", "/threads/{thread_id}/runs", RUN | {"after_seconds": 60}),
    "cancel": Change("POST", "/threads/{thread_id}/runs/{run_id}/cancel"),
    "roll back": Change("POST", "/threads/{thread_id}/runs/{run_id}/cancel?action=rollback"),
    "delete run": Change("DELETE", "/threads/{thread_id}/runs/{run_id}"),
    "cancel by leaving a join": Change(
        "GET", "/threads/{thread_id}/runs/{run_id}/join?cancel_on_disconnect=true"
    ),
    "cancel by leaving a stream": Change(
        "GET", "/threads/{thread_id}/runs/{run_id}/stream?cancel_on_disconnect=true"
    ),
    "cancel several": Change("POST", "/runs/cancel", {"thread_id": "{thread_id}", "run_ids": ["{run_id}"]}),
    "start": Change("POST", "/threads/{thread_id}/commands", command("run.start", **RUN), DENIED),
    "respond": Change(
        "POST",
        "/threads/{thread_id}/commands",
        command("input.respond", interrupt_id="0" * 32, response="yes"),
        DENIED,
    ),
    "prune": Change("POST", "/threads/prune", {"thread_ids": ["{thread_id}"]}, (200, 0)),
    "keep the latest": Change(
        "POST", "/threads/prune", {"thread_ids": ["{thread_id}"], "strategy": "keep_latest"}, (200, 0)
    ),
}


def filled(given, **names):
    if isinstance(given, str):
        return given.format(**names)
    if isinstance(given, list):
        return [filled(item, **names) for item in given]
    return {key: filled(value, **names) for key, value in given.items()} if isinstance(given, dict) else given


@pytest.fixture
async def names(client, thread_id, query):
    run = await client.runs.create(thread_id, "adding", input={})
    await client.runs.join(thread_id, run["run_id"])
    query("UPDATE threads SET mandated = true WHERE thread_id = %s RETURNING 1", thread_id)
    return {"thread_id": thread_id, "run_id": run["run_id"]}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_person_does_not_change_the_thread_of_a_mandate(http, token, names, client, change):
    before = await client.threads.get(names["thread_id"])
    person = {"Authorization": f"Bearer {token(typ=tokens.TokenType.USER)}"}

    body = filled(change.body, **names) if change.method in {"POST", "PATCH"} else None
    refused = await http.request(change.method, filled(change.path, **names), json=body, headers=person)
    said = refused.json()

    assert (
        refused.status_code,
        said.get("code", said.get("error", said.get("pruned_count"))),
    ) == change.answer
    assert await client.threads.get(names["thread_id"]) == before
    assert len(await client.runs.list(names["thread_id"])) == 1


async def test_a_person_reads_the_thread_of_a_mandate(connect, names):
    person = await connect(typ=tokens.TokenType.USER)

    state = await person.threads.get_state(names["thread_id"])
    result = await person.runs.join(names["thread_id"], names["run_id"])

    assert state["values"] == result == {"trail": ["first", "second"]}


async def test_runs_of_a_batch_are_their_callers_alone(client, connect):
    stranger = await connect(subject="somebody else")
    mine = await client.runs.create_batch([{"assistant_id": "adding", "input": {}}] * 2)

    seen = [
        await stranger.http.client.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}") for run in mine
    ]

    assert [answer.status_code for answer in seen] == [404, 404]
    for run in mine:
        assert await client.runs.join(run["thread_id"], run["run_id"]) == {"trail": ["first", "second"]}
