"""The law of the tool API as the agent service relies on it, for every Django there is."""

import asyncio

import pytest

from agent_service import exceptions
from shared_schemas import idempotency
from shared_schemas.problems import ErrorCode, Problem
from shared_schemas.tools import ToolCallStatus


def key(number=1):
    return idempotency.tool_call_key(run_id="run", thread_id="thread", origin=("node", "", "step", number))


@pytest.fixture
def post(tool_client):
    """Send a request as it is, and return status and code of the problem that answers it."""

    async def send(session, body=b'{"arguments": {"text": "a"}}', *, name="add_note", **headers):
        headers = {
            "Authorization": f"Bearer {session.granted.run_token}",
            "Content-Type": "application/json",
            idempotency.HEADER: key(),
        } | {header.replace("_", "-"): value for header, value in headers.items()}
        response = await tool_client.http.post(
            f"/agent-api/tools/{name}/calls/",
            content=body,
            headers={header: value for header, value in headers.items() if value is not None},
        )
        return response.status_code, Problem.model_validate_json(response.content).code

    return send


async def refused(call):
    with pytest.raises(exceptions.ToolCallError) as caught:
        await call
    return caught.value.code


async def test_a_write_has_one_effect_however_often_it_is_sent(subject, open_session):
    session = await open_session()

    answers = [await session.call("add_note", {"text": "a"}, key=key()) for _ in range(3)]

    assert answers[0].result == {"note": "a"}
    assert answers[0] == answers[1] == answers[2]
    assert await subject.effects() == ["a"]


async def test_parallel_sendings_of_one_call_have_one_effect(subject, open_session):
    session = await open_session()

    answers = await asyncio.gather(*(session.call("add_note", {"text": "a"}, key=key()) for _ in range(4)))

    assert {answer.tool_call for answer in answers} == {answers[0].tool_call}
    assert await subject.effects() == ["a"]


async def test_a_replay_says_so(open_session, tool_client):
    session = await open_session()
    await session.call("add_note", {"text": "a"}, key=key())

    response = await tool_client.http.post(
        "/agent-api/tools/add_note/calls/",
        json={"arguments": {"text": "a"}},
        headers={"Authorization": f"Bearer {session.granted.run_token}", idempotency.HEADER: f'"{key()}"'},
    )

    assert response.headers[idempotency.REPLAYED_HEADER] == "true"


async def test_a_replay_survives_renewal_and_takeover(subject, open_session):
    run_id = await subject.start_run()
    session = await open_session(run_id=run_id)
    first = await session.call("add_note", {"text": "a"}, key=key())
    await subject.expire_token(run_id)

    renewed = await session.call("add_note", {"text": "a"}, key=key())
    taken_over = await (await open_session(run_id=run_id, epoch=2)).call("add_note", {"text": "a"}, key=key())

    assert first == renewed == taken_over
    assert await subject.effects() == ["a"]


async def test_a_large_result_is_cut_and_read_whole_by_its_run_alone(subject, open_session):
    session, other = await open_session(), await open_session()
    arguments = {"text": "a note ", "copies": 50_000}

    answers = [await session.call("copy_note", arguments, key=key()) for _ in range(2)]

    assert answers[0] == answers[1]
    assert (answers[0].truncated, await subject.effects()) == (True, ["a note "])
    assert await session.whole(answers[0]) == {"note": "a note " * 50_000}
    assert await refused(other.whole(answers[0])) == ErrorCode.NOT_FOUND


async def test_a_result_that_was_not_cut_is_there_already(subject, open_session):
    session = await open_session()

    answer = await session.call("add_note", {"text": "one"}, key=key())

    assert await session.whole(answer) == answer.result == {"note": "one"}


async def test_a_key_of_another_run_is_independent(subject, open_session):
    first, second = await open_session(), await open_session()

    await first.call("add_note", {"text": "a"}, key=key())
    await second.call("add_note", {"text": "b"}, key=key())

    assert await subject.effects() == ["a", "b"]


async def test_the_same_key_with_other_arguments_is_refused(subject, open_session):
    session = await open_session()
    await session.call("add_note", {"text": "a"}, key=key())

    code = await refused(session.call("add_note", {"text": "b"}, key=key()))

    assert code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert await subject.effects() == ["a"]


async def test_a_read_needs_no_key_and_sees_the_writes(open_session):
    session = await open_session()
    await session.call("add_note", {"text": "a"}, key=key())

    answer = await session.call("read_notes", {}, key=None)

    assert answer.result == {"notes": ["a"]}
    assert answer.tool_call is None


async def test_invalid_arguments_name_their_place(open_session):
    session = await open_session()

    with pytest.raises(exceptions.ToolInvalidArguments) as caught:
        await session.call("add_note", {"text": "a", "lines": 0}, key=key())

    assert [fault.pointer for fault in caught.value.errors] == ["/arguments/lines"]


async def test_a_refused_call_may_be_made_again_with_its_key(subject, open_session):
    session = await open_session()
    assert await refused(session.call("add_note", {"text": ""}, key=key())) is ErrorCode.INVALID_ARGUMENTS

    await session.call("add_note", {"text": "a"}, key=key())

    assert await subject.effects() == ["a"]


async def test_a_business_rule_refuses_by_name(subject, open_session):
    session = await open_session()

    with pytest.raises(exceptions.ToolRejected, match="not allowed"):
        await session.call("add_note", {"text": "forbidden"}, key=key())

    assert await subject.effects() == []


async def test_a_call_that_needs_a_person_waits_and_is_answered_under_its_key(subject, open_session):
    session = await open_session()
    pending = await session.call("publish_note", {"text": "a"}, key=key(), tool_call_id="call-1")
    assert pending.status is ToolCallStatus.PENDING_APPROVAL
    assert pending.approval.arguments == {"text": "a"}
    assert pending.approval.tool_call_id == "call-1"
    assert await subject.effects() == []

    await subject.approve(pending.approval.approval_id)
    answer = await session.call("publish_note", {"text": "a"}, key=key(), tool_call_id="call-1")

    assert answer.result == {"note": "a"}
    assert await subject.effects() == ["a"]


async def test_a_rejected_call_is_declined_with_the_comment(subject, open_session):
    session = await open_session()
    pending = await session.call("publish_note", {"text": "a"}, key=key())

    await subject.reject(pending.approval.approval_id, "Too early.")
    answer = await session.call("publish_note", {"text": "a"}, key=key())

    assert answer.status is ToolCallStatus.DECLINED
    assert "Too early." in answer.note
    assert await subject.effects() == []


async def test_a_tool_outside_the_mandate_is_refused(open_session):
    session = await open_session("read_notes")

    assert [spec.name for spec in session.tools] == ["read_notes"]
    assert await refused(session.call("add_note", {"text": "a"}, key=key())) is ErrorCode.TOOL_NOT_GRANTED
    assert await refused(session.call("no_such_tool", {}, key=key())) is ErrorCode.UNKNOWN_TOOL


async def test_a_cancelled_run_calls_nothing_any_more(subject, open_session):
    run_id = await subject.start_run()
    session = await open_session(run_id=run_id)
    await subject.cancel(run_id)

    with pytest.raises(exceptions.ToolRefused):
        await session.call("add_note", {"text": "a"}, key=key())

    assert await refused(open_session(run_id=run_id)) is ErrorCode.RUN_NOT_ACTIVE
    assert await subject.effects() == []


async def test_a_worker_that_was_overtaken_has_lost_its_lease(subject, open_session):
    run_id = await subject.start_run()
    old = await open_session(run_id=run_id, epoch=1)
    await open_session(run_id=run_id, epoch=2)

    with pytest.raises(exceptions.LeaseLost):
        await old.call("add_note", {"text": "a"}, key=key())
    with pytest.raises(exceptions.LeaseLost):
        await open_session(run_id=run_id, epoch=1)

    assert await subject.effects() == []


async def test_a_renewed_token_replaces_the_old_one(subject, open_session, post):
    run_id = await subject.start_run()
    old = await open_session(run_id=run_id)
    await open_session(run_id=run_id)

    assert (await post(old))[0] == 401


async def test_a_closed_session_is_revoked(open_session, post):
    session = await open_session()

    await session.close()

    assert (await post(session))[0] == 401


async def test_an_unknown_run_has_no_session(open_session):
    code = await refused(open_session(run_id="00000000-0000-4000-8000-000000000000"))

    assert code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": None}, (401, ErrorCode.UNAUTHENTICATED)),
        ({"Authorization": "Bearer djr_made_up"}, (401, ErrorCode.UNAUTHENTICATED)),
        ({"Idempotency_Key": None}, (400, ErrorCode.IDEMPOTENCY_KEY_MISSING)),
        ({"Idempotency_Key": "made-up-by-hand"}, (400, ErrorCode.IDEMPOTENCY_KEY_MALFORMED)),
    ],
)
async def test_a_call_without_what_it_needs_is_a_problem(subject, open_session, post, headers, expected):
    assert await post(await open_session(), **headers) == expected
    assert await subject.effects() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"{", (400, ErrorCode.MALFORMED_BODY), id="no json"),
        pytest.param(b'{"arguments": []}', (422, ErrorCode.INVALID_REQUEST), id="wrong type"),
        pytest.param(b"{}", (422, ErrorCode.INVALID_REQUEST), id="missing field"),
        pytest.param(b'{"arguments": {}, "x": 1}', (422, ErrorCode.INVALID_REQUEST), id="unknown field"),
        pytest.param(b'{"arguments": {"text": "\\u0000"}}', (422, ErrorCode.UNSTORABLE_VALUE), id="nul"),
        pytest.param(
            b'{"arguments": {"text": "' + b"x" * 2**18 + b'"}}', (413, ErrorCode.BODY_TOO_LARGE), id="large"
        ),
    ],
)
async def test_a_bad_body_is_a_problem(subject, open_session, post, body, expected):
    assert await post(await open_session(), body) == expected
    assert await subject.effects() == []
