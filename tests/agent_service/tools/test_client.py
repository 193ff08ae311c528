import asyncio
import json
import traceback

import httpx
import pytest

from agent_service import exceptions
from agent_service.testing import django
from agent_service.tools import answers, client
from shared_schemas import idempotency, problems
from shared_schemas.problems import ErrorCode


def key(number=1):
    return idempotency.tool_call_key(run_id="run", thread_id="thread", origin=("node", "", "step", number))


def problem(status, code):
    body = problems.Problem(title="t", status=status, detail="because", code=code)
    return django.Fault(status=status, body=body.model_dump_json().encode())


async def test_a_session_names_the_tools_of_the_mandate(open_session):
    session = await open_session("add_note", "read_notes")

    assert [spec.name for spec in session.tools] == ["add_note", "read_notes"]


async def test_a_write_is_answered(open_session, subject):
    session = await open_session()

    answer = await session.call("add_note", {"text": "a"}, key=key())

    assert answer.result == {"note": "a"}
    assert subject.effects == [("add_note", {"text": "a"})]


async def test_a_read_sends_no_key(open_session, subject):
    session = await open_session()

    answer = await session.call("read_notes", {}, key=None)

    assert answer.result == ["one", "two"]
    assert subject.requests == [("read_notes", None)]


async def test_the_same_key_again_has_one_effect(open_session, subject):
    session = await open_session()

    first = await session.call("add_note", {"text": "a"}, key=key())
    second = await session.call("add_note", {"text": "a"}, key=key())

    assert first == second
    assert len(subject.effects) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(django.Fault(status=429), id="too many"),
        pytest.param(django.Fault(status=502), id="bad gateway"),
        pytest.param(django.Fault(status=503), id="unavailable"),
        pytest.param(django.Fault(status=504), id="gateway timeout"),
        pytest.param(django.Fault(status=504, after_effect=True), id="answer lost after the effect"),
        pytest.param(problem(409, ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS), id="in progress"),
    ],
)
async def test_a_call_without_answer_is_repeated_with_its_key(open_session, subject, fault):
    session = await open_session()
    subject.faults.append(fault)

    answer = await session.call("add_note", {"text": "a"}, key=key())

    assert answer.result == {"note": "a"}
    assert subject.requests == [("add_note", key())] * 2
    assert len(subject.effects) == 1


async def test_retry_after_is_honoured(open_session, subject, clock):
    session = await open_session()
    subject.faults.append(django.Fault(status=503, retry_after=7))

    await session.call("add_note", {"text": "a"}, key=key())

    assert clock.slept == [7]


async def test_the_jitter_grows_to_ten_seconds_and_ends_after_five_minutes(open_session, subject, clock):
    session = await open_session()
    subject.faults.extend([django.Fault(status=503)] * 1000)

    with pytest.raises(exceptions.ToolUnavailable):
        await session.call("add_note", {"text": "a"}, key=key())

    assert all(slept <= 0.2 * 2**attempt for attempt, slept in enumerate(clock.slept))
    assert 9 < max(clock.slept) <= 10
    assert 285 < clock.now < 300


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, ErrorCode.IDEMPOTENCY_KEY_MISSING, exceptions.ToolFailed),
        (403, ErrorCode.RUN_NOT_ACTIVE, exceptions.ToolRefused),
        (403, ErrorCode.TOOL_NOT_GRANTED, exceptions.ToolRefused),
        (403, ErrorCode.LIMIT_SPENT, exceptions.ToolRefused),
        (404, ErrorCode.UNKNOWN_TOOL, exceptions.ToolFailed),
        (409, ErrorCode.CONFLICT, exceptions.ToolFailed),
        (422, ErrorCode.INVALID_ARGUMENTS, exceptions.ToolInvalidArguments),
        (422, ErrorCode.REJECTED, exceptions.ToolRejected),
        (422, ErrorCode.REPEATED_CALL, exceptions.ToolRepeated),
        (403, ErrorCode.LOOP_DETECTED, exceptions.ToolRefused),
        (422, ErrorCode.TOOL_FAILED, exceptions.ToolFailed),
        (422, ErrorCode.IDEMPOTENCY_KEY_REUSED, exceptions.ToolFailed),
        (500, ErrorCode.INTERNAL, exceptions.ToolFailed),
    ],
)
async def test_an_error_answer_is_named_and_not_repeated(open_session, subject, status, code, expected):
    session = await open_session()
    subject.faults.append(problem(status, code))

    with pytest.raises(exceptions.ToolCallError) as caught:
        await session.call("add_note", {"text": "a"}, key=key())

    assert type(caught.value) is expected
    assert (caught.value.code, caught.value.detail) == (code, "because")
    assert len(subject.requests) == 1


async def test_a_stale_worker_has_lost_its_lease(open_session, subject):
    run_id = subject.start_run()
    old = await open_session(run_id=run_id, epoch=1)
    await open_session(run_id=run_id, epoch=2)

    with pytest.raises(exceptions.LeaseLost):
        await old.call("add_note", {"text": "a"}, key=key())

    assert subject.effects == []


async def test_invalid_arguments_say_where(open_session):
    session = await open_session()

    with pytest.raises(exceptions.ToolInvalidArguments) as caught:
        await session.call("add_note", {"text": "a", "lines": 0}, key=key())

    assert [fault.pointer for fault in caught.value.errors] == ["/arguments/lines"]


async def test_an_expired_token_is_renewed_once_for_parallel_calls(open_session, subject):
    run_id = subject.start_run()
    session = await open_session(run_id=run_id)
    subject.expire_token(run_id)

    await asyncio.gather(*(session.call("add_note", {"text": str(n)}, key=key(n)) for n in range(5)))

    assert subject.runs[run_id].sessions_opened == 2
    assert len(subject.effects) == 5


async def test_a_token_that_is_no_more_as_soon_as_it_is_renewed_is_renewed_again(open_session, subject):
    session = await open_session()
    subject.faults.extend([problem(401, ErrorCode.UNAUTHENTICATED)] * client.RENEWALS)

    answer = await session.call("add_note", {"text": "a"}, key=key())

    assert answer.status == "succeeded"
    assert len(subject.effects) == 1


async def test_a_token_refused_after_all_renewals_ends_the_call(open_session, subject):
    session = await open_session()
    subject.faults.extend([problem(401, ErrorCode.TOKEN_EXPIRED)] * (client.RENEWALS + 1))

    with pytest.raises(exceptions.ToolRefused):
        await session.call("add_note", {"text": "a"}, key=key())

    assert len(subject.requests) == client.RENEWALS + 1


async def test_a_closed_session_is_revoked_and_not_renewed(open_session, subject):
    run_id = subject.start_run()
    session = await open_session(run_id=run_id)

    await session.close()

    assert subject.runs[run_id].token is None
    with pytest.raises(exceptions.ToolRefused):
        await session.call("add_note", {"text": "a"}, key=key())


async def test_a_cancelled_run_opens_no_session(open_session, subject):
    run_id = subject.start_run()
    subject.cancel(run_id)

    with pytest.raises(exceptions.ToolRefused) as caught:
        await open_session(run_id=run_id)

    assert caught.value.code is ErrorCode.RUN_NOT_ACTIVE


@pytest.mark.parametrize("text", ["nul \x00", "lone \ud800"])
async def test_unstorable_arguments_are_refused_before_they_are_sent(open_session, subject, text):
    session = await open_session()

    with pytest.raises(exceptions.ToolInvalidArguments) as caught:
        await session.call("add_note", {"text": text}, key=key())

    assert [fault.pointer for fault in caught.value.errors] == ["/arguments/text"]
    assert subject.requests == []


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(open_session, subject):
    session = await open_session()

    with pytest.raises(exceptions.ToolFailed) as caught:
        await session.call("add_note", {"text": "x" * 256 * 1024}, key=key())

    assert caught.value.code is ErrorCode.BODY_TOO_LARGE
    assert subject.requests == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"status": "succeeded", "result": "nul \x00"}, ErrorCode.UNSTORABLE_VALUE, id="nul"),
        pytest.param(
            {"status": "succeeded", "result": 2**64}, ErrorCode.UNSTORABLE_VALUE, id="large integer"
        ),
        pytest.param({"status": "perhaps"}, ErrorCode.TOOL_FAILED, id="unknown status"),
        pytest.param({"status": "pending_approval"}, ErrorCode.TOOL_FAILED, id="no approval"),
    ],
)
async def test_an_answer_that_cannot_be_kept_fails_the_call(open_session, subject, body, code):
    session = await open_session()
    subject.faults.append(django.Fault(status=200, body=json.dumps(body).encode()))

    with pytest.raises(exceptions.ToolFailed) as caught:
        await session.call("add_note", {"text": "a"}, key=key())

    assert caught.value.code is code


def leaves(kind):
    own = [child for child in kind.__subclasses__() if child.__module__.startswith("httpx")]
    return [kind] + [leaf for child in own for leaf in leaves(child)]


@pytest.mark.parametrize("kind", leaves(httpx.HTTPError), ids=lambda kind: kind.__name__)
async def test_every_error_of_the_http_client_is_mapped(kind):
    async def send():
        if kind is httpx.HTTPStatusError:
            raise kind("broken", request=httpx.Request("GET", "http://d"), response=httpx.Response(500))
        raise kind("broken")

    with pytest.raises((answers.NoAnswerError, exceptions.ToolFailed)):
        await answers.receive(send)


async def test_a_connection_that_breaks_is_tried_again(signing_key, patience, subject):
    attempts = []

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            attempts.append(request)
            raise httpx.ConnectError("refused")

    async with client.open_client(
        django_url="http://django.test", signing_key=signing_key, transport=Broken(), patience=patience
    ) as opened:
        with pytest.raises(exceptions.ToolUnavailable):
            await opened.open_session(run_id=subject.start_run(), thread_id="t", epoch=1)

    assert len(attempts) > 10


async def test_no_token_is_in_any_text(open_session, subject):
    run_id = subject.start_run()
    session = await open_session(run_id=run_id)
    token = subject.runs[run_id].token
    subject.faults.append(django.Fault(status=418, body=token.encode()))

    with pytest.raises(exceptions.ToolFailed) as caught:
        await session.call("add_note", {"text": "a"}, key=key())

    shown = "".join(traceback.format_exception(caught.value)) + repr(session) + repr(session.client)
    assert token not in shown
