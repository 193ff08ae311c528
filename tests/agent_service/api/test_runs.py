import uuid

import pytest
from langgraph_sdk import errors

from shared_schemas import tokens

SHOUTED = {"text": "ADA", "answers": []}
ENDLESS = {"assistant_id": "endless", "input": {"text": ""}}


async def test_a_run_in_the_background_ends_with_its_result(client, thread_id):
    run = await client.runs.create(thread_id, "echo", input={"text": "ada"}, metadata={"n": 1})

    result = await client.runs.join(thread_id, run["run_id"])

    assert result == SHOUTED
    ended = await client.runs.get(thread_id, run["run_id"])
    assert (ended["status"], ended["metadata"]["n"], ended["error"]) == ("success", 1, None)
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_a_created_run_tells_where_it_is(client, thread_id):
    seen = []

    run = await client.runs.create(thread_id, "echo", input={"text": "ada"}, on_run_created=seen.append)

    assert seen == [{"run_id": run["run_id"], "thread_id": thread_id}]


async def test_waiting_returns_the_values(client, thread_id):
    assert await client.runs.wait(thread_id, "echo", input={"text": "ada"}) == SHOUTED


async def test_waiting_survives_silence(http, thread_id):
    # Two heartbeats pass before the run is cancelled; the body is still one JSON value.
    created = await http.post(f"/threads/{thread_id}/runs", json=ENDLESS)
    run_id = created.json()["run_id"]

    async with http.stream("GET", f"/threads/{thread_id}/runs/{run_id}/join") as response:
        chunks = response.aiter_bytes()
        silence = [await anext(chunks) for _ in range(2)]
        await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
        rest = b"".join([chunk async for chunk in chunks])

    assert silence == [b"\n", b"\n"]
    assert rest.strip().startswith((b"{", b"null"))


async def test_a_failed_run_raises_in_the_client(client, thread_id):
    with pytest.raises(Exception, match="graph_failed"):
        await client.runs.wait(thread_id, "failing", input={"text": "broken"})

    assert (await client.threads.get(thread_id))["status"] == "error"


async def test_a_failed_run_says_why(client, thread_id):
    run = await client.runs.create(thread_id, "failing", input={"text": "broken"})

    result = await client.runs.join(thread_id, run["run_id"])

    assert result["__error__"]["error"] == "graph_failed"
    ended = await client.runs.get(thread_id, run["run_id"])
    assert (ended["status"], ended["error"]["code"]) == ("error", "graph_failed")


async def test_an_unknown_thread_is_not_found(client):
    with pytest.raises(errors.NotFoundError):
        await client.runs.create(str(uuid.uuid4()), "echo", input={"text": "ada"})


async def test_a_missing_thread_is_created_if_asked_for(client):
    thread_id = str(uuid.uuid4())

    run = await client.runs.create(thread_id, "echo", input={"text": "ada"}, if_not_exists="create")

    assert run["thread_id"] == thread_id
    assert await client.runs.join(thread_id, run["run_id"]) == SHOUTED


async def test_a_run_without_a_thread_has_one_of_its_own(client):
    assert await client.runs.wait(None, "echo", input={"text": "ada"}) == SHOUTED


async def test_the_runs_of_a_thread_are_listed_newest_first(client, thread_id):
    first = await client.runs.create(thread_id, "echo", input={"text": "a"})
    second = await client.runs.create(thread_id, "echo", input={"text": "b"})
    await client.runs.join(thread_id, second["run_id"])

    listed = await client.runs.list(thread_id)

    assert [run["run_id"] for run in listed] == [second["run_id"], first["run_id"]]
    assert len(await client.runs.list(thread_id, limit=1)) == 1
    assert await client.runs.list(thread_id, status="pending") == []


async def test_a_repeated_request_returns_the_same_run(client, thread_id):
    headers = {"Idempotency-Key": f"{uuid.uuid4()}:0"}

    first = await client.runs.create(thread_id, "echo", input={"text": "ada"}, headers=headers)
    second = await client.runs.create(thread_id, "echo", input={"text": "ada"}, headers=headers)

    assert second["run_id"] == first["run_id"]
    assert len(await client.runs.list(thread_id)) == 1


async def test_a_key_for_another_input_is_refused(client, thread_id):
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    await client.runs.create(thread_id, "echo", input={"text": "ada"}, headers=headers)

    with pytest.raises(errors.UnprocessableEntityError) as refusal:
        await client.runs.create(thread_id, "echo", input={"text": "bob"}, headers=headers)

    assert refusal.value.body["code"] == "idempotency_key_reused"


async def test_an_interrupt_is_in_the_result_and_on_the_thread(client, thread_id):
    result = await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    (interrupt,) = result["__interrupt__"]
    thread = await client.threads.get(thread_id)
    assert interrupt["value"] == {"question": "Sure?"}
    assert thread["status"] == "interrupted"
    assert list(thread["interrupts"].values()) == [[interrupt]]
    (run,) = await client.runs.list(thread_id)
    assert run["status"] == "success"


async def test_an_answer_resumes_the_thread(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    result = await client.runs.wait(thread_id, "asking", command={"resume": "yes"})

    assert result == {"text": "SURE?", "answers": ["yes"]}
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_two_interrupts_are_answered_one_by_one(client, thread_id):
    result = await client.runs.wait(thread_id, "asking_twice", input={"text": "Sure?"})
    first, second = result["__interrupt__"]

    result = await client.runs.wait(thread_id, "asking_twice", command={"resume": {first["id"]: 1}})

    assert [interrupt["id"] for interrupt in result["__interrupt__"]] == [second["id"]]

    result = await client.runs.wait(thread_id, "asking_twice", command={"resume": {second["id"]: 2}})

    assert sorted(result["answers"]) == [1, 2]


async def test_an_answer_to_no_question_is_refused(client, thread_id):
    await client.runs.wait(thread_id, "asking", input={"text": "Sure?"})

    with pytest.raises(errors.ConflictError) as refusal:
        await client.runs.create(thread_id, "asking", command={"resume": {"0" * 32: "yes"}})

    assert refusal.value.body["code"] == "no_such_interrupt"


async def test_a_cancelled_run_stops(client, thread_id):
    run = await client.runs.create(thread_id, "endless", input={"text": ""}, stream_mode="custom")
    async for part in client.runs.join_stream(thread_id, run["run_id"]):
        if part.event == "custom":
            break

    await client.runs.cancel(thread_id, run["run_id"], wait=True)

    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
    assert await client.runs.wait(thread_id, "echo", input={"text": "ada"}) == SHOUTED


async def test_a_cancel_is_accepted_before_the_run_stops(http, thread_id):
    run = (await http.post(f"/threads/{thread_id}/runs", json=ENDLESS)).json()

    answer = await http.post(f"/threads/{thread_id}/runs/{run['run_id']}/cancel", params={"wait": "0"})

    assert answer.status_code == 202


async def test_an_ended_run_is_not_cancelled(client, thread_id):
    run = await client.runs.create(thread_id, "echo", input={"text": "ada"})
    await client.runs.join(thread_id, run["run_id"])

    with pytest.raises(errors.ConflictError):
        await client.runs.cancel(thread_id, run["run_id"])


async def test_an_unknown_run_is_not_found(client, thread_id):
    with pytest.raises(errors.NotFoundError):
        await client.runs.get(thread_id, str(uuid.uuid4()))


async def test_an_unknown_graph_is_not_found(client, thread_id):
    with pytest.raises(errors.NotFoundError) as refusal:
        await client.runs.create(thread_id, "nonsense", input={})

    assert refusal.value.body["code"] == "unknown_graph"


async def test_a_graph_is_found_by_its_assistants_id(client, thread_id):
    (assistant,) = await client.assistants.search(graph_id="echo")

    result = await client.runs.wait(thread_id, assistant["assistant_id"], input={"text": "ada"})

    assert result == SHOUTED


async def test_a_run_with_a_mandate_is_taken_from_django_and_can_be_cancelled(http, token, thread_id):
    mandate_run = str(uuid.uuid4())
    http.headers["Authorization"] = f"Bearer {token(scopes=frozenset(tokens.Scope))}"

    created = await http.post(
        f"/threads/{thread_id}/runs",
        json={"assistant_id": "echo", "input": {"text": "ada"}, "metadata": {"mandate_run": mandate_run}},
    )

    # Nobody answers at this Django's address: the worker waits for its tool session until it is told to stop.
    path = created.headers["content-location"]
    cancelled = await http.post(f"{path}/cancel", params={"wait": 1})
    run = (await http.get(path)).json()
    assert (created.status_code, cancelled.status_code) == (200, 204)
    assert (run["status"], run["metadata"]["mandate_run"]) == ("interrupted", mandate_run)
