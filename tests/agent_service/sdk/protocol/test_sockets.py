"""The WebSocket itself, as JavaScript uses it: commands and events on one connection."""

import json
import uuid

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


@pytest.fixture
def thread_id():
    return str(uuid.uuid4())


@pytest.fixture
def socket(service, token, thread_id):
    """Return a function that connects to the thread."""

    def open_socket(thread=thread_id, **headers):
        address = f"{service.url.replace('http', 'ws', 1)}/threads/{thread}/stream/events"
        return connect(address, additional_headers=headers or {"x-api-key": token()})

    return open_socket


async def send(websocket, id_, method, **params):
    await websocket.send(json.dumps({"id": id_, "method": method, "params": params}))


async def receive(websocket, satisfies):
    async for text in websocket:
        message = json.loads(text)
        if satisfies(message):
            return message
    raise AssertionError("The connection ended.")


def answers(id_):
    return lambda message: message.get("id") == id_


async def start(websocket, id_=1, **params):
    await send(websocket, id_, "run.start", **({"assistant_id": "echo", "input": {"text": "ada"}} | params))
    return await receive(websocket, answers(id_))


async def test_a_run_is_started_and_followed_on_one_connection(socket):
    async with socket() as websocket:
        started = await start(websocket)
        await send(websocket, 2, "subscription.subscribe", channels=["lifecycle"])

        subscribed = await receive(websocket, answers(2))
        ended = await receive(websocket, lambda message: message.get("method") == "lifecycle")
        while ended["params"]["data"]["event"] == "running":
            ended = await receive(websocket, lambda message: message.get("method") == "lifecycle")

    assert subscribed["result"]["subscription_id"]
    assert ended["params"]["data"]["event"] == "completed"
    assert ended["params"]["data"]["run_id"] == started["result"]["run_id"]


async def test_a_subscription_is_given_up(socket):
    async with socket() as websocket:
        await start(websocket)
        await send(websocket, 2, "subscription.subscribe", channels=["custom"])
        subscribed = await receive(websocket, answers(2))

        await send(websocket, 3, "subscription.unsubscribe", **subscribed["result"])
        given_up = await receive(websocket, answers(3))
        await send(websocket, 4, "subscription.unsubscribe", **subscribed["result"])
        again = await receive(websocket, answers(4))

    assert (given_up["type"], again["error"]) == ("success", "no_such_subscription")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("{", "invalid_argument", id="no JSON"),
        pytest.param('{"channels": ["values"]}', "invalid_argument", id="no command"),
        pytest.param('{"id": 1, "method": "run.jump"}', "unknown_command", id="unknown"),
        pytest.param(
            '{"id": 1, "method": "subscription.subscribe", "params": {}}', "invalid_argument", id="no channel"
        ),
    ],
)
async def test_a_frame_that_makes_no_sense_is_refused(socket, text, code):
    async with socket() as websocket:
        await websocket.send(text)

        refusal = json.loads(await websocket.recv())

    assert (refusal["type"], refusal["error"]) == ("error", code)


@pytest.mark.parametrize("headers", [{"x-api-key": "nonsense"}, {"authorization": "Basic YTpi"}])
async def test_nobody_connects_without_a_token(socket, caplog, headers):
    with pytest.raises(InvalidStatus) as refusal:
        await socket(**headers)

    assert refusal.value.response.status_code == 401
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_thread_of_somebody_else_is_not_found(socket, token):
    async with socket() as mine:
        await start(mine)

    async with socket(**{"x-api-key": token(subject="somebody else")}) as theirs:
        await send(theirs, 1, "subscription.subscribe", channels=["values"])
        with pytest.raises(ConnectionClosed) as closed:
            await theirs.recv()

    assert closed.value.rcvd.code == 4404


async def test_a_token_that_only_reads_starts_nothing(socket, token):
    async with socket(**{"x-api-key": token(scopes=frozenset({"runs:read"}))}) as websocket:
        refusal = await start(websocket)

    assert refusal["error"] == "permission_denied"


async def test_a_frame_too_large_ends_the_connection(socket, settings):
    async with socket() as websocket:
        await websocket.send(" " * (settings.max_body_bytes + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()

    assert closed.value.rcvd.code == 1009
