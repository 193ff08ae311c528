"""Bad input at every door: each a problem with its code, and nothing changed."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shared_schemas import keys, problems, tokens

ECHO = {"assistant_id": "echo", "input": {"text": "ada"}}
NOBODYS = uuid.UUID(int=1)


def is_problem(answer, status, code):
    body = problems.Problem.model_validate(answer.json())
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert (answer.status_code, body.status, body.code) == (status, status, code)
    assert "Traceback" not in answer.text
    return True


@pytest.fixture
async def stranger(service):
    """A client without a token."""
    async with httpx.AsyncClient(base_url=service.url, verify=False, timeout=30) as plain:
        yield plain


@pytest.fixture
async def runs_path(client, thread_id):
    """Where runs of a thread are created; afterwards there is none."""
    yield f"/threads/{thread_id}/runs"
    assert await client.runs.list(thread_id) == []


@pytest.fixture
async def somebody_else(service, token):
    headers = {"Authorization": f"Bearer {token(subject='somebody else')}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, verify=False, timeout=30) as plain:
        yield plain


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/threads"),
        ("GET", f"/threads/{NOBODYS}"),
        ("POST", f"/threads/{NOBODYS}/runs"),
        ("GET", f"/threads/{NOBODYS}/runs/{NOBODYS}/stream"),
        ("POST", "/runs/wait"),
        ("POST", "/assistants/search"),
    ],
)
async def test_a_token_is_needed(stranger, method, path):
    answer = await stranger.request(method, path, json=ECHO)

    assert is_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        pytest.param({"key": keys.parse_signing(keys.generate())}, (401, "unauthenticated"), id="foreign"),
        pytest.param({"now": datetime.now(UTC) - timedelta(days=1)}, (401, "token_expired"), id="expired"),
        pytest.param({"audience": tokens.DJANGO}, (401, "unauthenticated"), id="for Django"),
        pytest.param({"typ": tokens.TokenType.WORKER}, (401, "unauthenticated"), id="a worker's"),
        pytest.param({"scopes": frozenset()}, (403, "forbidden"), id="without scopes"),
        pytest.param({"scopes": frozenset({tokens.Scope.RUNS_READ})}, (403, "forbidden"), id="to read only"),
    ],
)
async def test_a_token_that_does_not_allow_it(stranger, token, runs_path, changes, refusal):
    headers = {"Authorization": f"Bearer {token(**changes)}"}

    answer = await stranger.post(runs_path, json=ECHO, headers=headers)

    assert is_problem(answer, *refusal)


async def test_a_token_is_taken_from_the_header_of_langgraphs_clients(stranger, token, thread_id):
    answer = await stranger.get(f"/threads/{thread_id}", headers={"x-api-key": token()})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/state"),
        ("POST", "/history"),
        ("GET", "/runs"),
        ("POST", "/runs"),
        ("POST", "/runs/wait"),
        ("POST", "/runs/stream"),
    ],
)
@pytest.mark.usefixtures("runs_path")
async def test_another_users_thread_does_not_exist(somebody_else, thread_id, method, path):
    body = ECHO if method in {"POST", "PATCH"} else None

    answer = await somebody_else.request(method, f"/threads/{thread_id}{path}", json=body)

    assert is_problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/join"), ("GET", "/stream"), ("POST", "/cancel")]
)
async def test_another_users_run_does_not_exist(client, somebody_else, thread_id, method, path):
    run = await client.runs.create(thread_id, "echo", input={"text": "ada"})

    answer = await somebody_else.request(method, f"/threads/{thread_id}/runs/{run['run_id']}{path}")

    assert is_problem(answer, 404, "not_found")


async def test_a_run_with_a_mandate_needs_the_scope(http, runs_path):
    body = ECHO | {"metadata": {"mandate_run": str(uuid.uuid4())}}

    answer = await http.post(runs_path, json=body)

    assert is_problem(answer, 403, "forbidden")


async def test_a_mandate_must_name_a_run_of_django(stranger, token, runs_path):
    headers = {"Authorization": f"Bearer {token(scopes=frozenset(tokens.Scope))}"}
    body = ECHO | {"metadata": {"mandate_run": "seven"}}

    answer = await stranger.post(runs_path, json=body, headers=headers)

    assert is_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        pytest.param({"assistant_id": "nonsense"}, 404, "unknown_graph", id="unknown assistant"),
        pytest.param({"assistant_id": 7}, 422, "invalid_request", id="wrong type"),
        pytest.param({"assistant_id": None}, 422, "invalid_request", id="missing"),
        pytest.param({"multitask_strategy": "hope"}, 422, "invalid_request", id="unknown strategy"),
        pytest.param({"stream_mode": ["values", "all"]}, 422, "invalid_request", id="unknown stream mode"),
        pytest.param({"durability": "forever"}, 422, "invalid_request", id="unknown durability"),
        pytest.param({"after_seconds": -1}, 422, "invalid_request", id="in the past"),
        pytest.param({"webhook": "https://evil.example/"}, 422, "webhook_not_allowed", id="webhook"),
        pytest.param({"input": {"text": "a\x00b"}}, 422, "unstorable_value", id="NUL"),
        pytest.param({"input": {"a\x00b": 1}}, 422, "unstorable_value", id="NUL in a name"),
        pytest.param({"metadata": {"deep": ["\ud800"]}}, 422, "unstorable_value", id="lone surrogate"),
        pytest.param({"input": {"n": 2**64}}, 422, "unstorable_value", id="more than 64 bits"),
        pytest.param({"unknown": {"text": "\x00"}}, 422, "unstorable_value", id="NUL in an unknown field"),
        pytest.param({"input": "x" * 256 * 1024}, 413, "body_too_large", id="too large"),
    ],
)
async def test_a_body_is_refused(http, runs_path, changes, status, code):
    body = json.dumps(ECHO | changes)

    answer = await http.post(runs_path, content=body, headers={"content-type": "application/json"})

    assert is_problem(answer, status, code)


@pytest.mark.parametrize(
    ("body", "content_type", "refusal"),
    [
        pytest.param(b"{", "application/json", (400, "malformed_body"), id="cut"),
        pytest.param(b"\xff\xfe", "application/json", (400, "malformed_body"), id="not UTF-8"),
        pytest.param(b"[" * 100_000, "application/json", (400, "malformed_body"), id="nested without end"),
        pytest.param(
            b"[" * 300 + b"]" * 300, "application/json", (422, "unstorable_value"), id="nested too deep"
        ),
        pytest.param(b'{"a": NaN}', "application/json", (422, "unstorable_value"), id="NaN"),
        pytest.param(b"[]", "application/json", (422, "invalid_request"), id="a list"),
        pytest.param(b"null", "application/json", (422, "invalid_request"), id="null"),
        pytest.param(b"", "application/json", (422, "invalid_request"), id="nothing"),
        pytest.param(
            b"a=1", "application/x-www-form-urlencoded", (415, "unsupported_media_type"), id="a form"
        ),
    ],
)
async def test_bytes_that_are_no_request(http, runs_path, body, content_type, refusal):
    answer = await http.post(runs_path, content=body, headers={"content-type": content_type})

    assert is_problem(answer, *refusal)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        pytest.param({"stream_mode": ["values", "all"]}, "/stream_mode/1", id="in a list"),
        pytest.param({"checkpoint": {"checkpoint_id": 7}}, "/checkpoint/checkpoint_id", id="in an object"),
        pytest.param({"assistant_id": None}, "/assistant_id", id="absent"),
    ],
)
async def test_a_fault_is_pointed_at(http, runs_path, changes, pointer):
    answer = await http.post(runs_path, json=ECHO | changes)

    assert pointer in {fault["pointer"] for fault in answer.json()["errors"]}


@pytest.mark.parametrize("key", ["short", "with space", "ä" * 10, "x" * 300])
async def test_a_malformed_idempotency_key(http, runs_path, key):
    headers = {"Idempotency-Key": key.encode()}

    answer = await http.post(runs_path, json=ECHO, headers=headers)

    assert is_problem(answer, 400, "idempotency_key_malformed")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/nowhere", 404, "not_found", id="no such path"),
        pytest.param("PUT", "/threads", 405, "method_not_allowed", id="no such method"),
        pytest.param("GET", "/threads/seven", 422, "invalid_request", id="no id"),
        pytest.param("POST", "/runs/crons", 404, "not_offered", id="crons"),
        pytest.param("POST", f"/threads/{NOBODYS}/runs/crons", 404, "not_offered", id="a thread's crons"),
        pytest.param("POST", "/store/items/search", 404, "not_offered", id="store"),
        pytest.param("POST", "/a2a/echo", 404, "not_offered", id="A2A"),
    ],
)
async def test_what_is_not_there(http, method, path, status, code):
    answer = await http.request(method, path)

    assert is_problem(answer, status, code)


async def test_the_request_id_comes_back(http):
    answer = await http.get("/info", headers={"x-request-id": "abc-1"})

    assert answer.headers["x-request-id"] == "abc-1"


async def test_an_unusable_request_id_is_replaced(http):
    answer = await http.get("/nowhere", headers={"x-request-id": "x" * 500})

    assert uuid.UUID(answer.headers["x-request-id"])
