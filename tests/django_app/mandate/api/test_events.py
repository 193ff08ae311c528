import asyncio
import json
from contextlib import aclosing

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from mandate import notifications
from mandate.services import dispatcher, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def in_database(function, *args):
    try:
        return function(*args)
    finally:
        connection.close()


@pytest.fixture(autouse=True)
async def closed_connections(transactional_db):
    """The asynchronous client leaves a connection open in the thread of `sync_to_async`."""
    yield
    await in_database(lambda: None)


@pytest.fixture
def follow(async_client, user):
    """Open a run's stream as its owner; yields events as (name, data, id)."""
    async_client.force_login(user)

    async def events(run, last=None):
        headers = {"Last-Event-ID": last} if last else {}
        response = await async_client.get(f"/api/agents/runs/{run.pk}/events/", headers=headers)
        assert response["Content-Type"] == "text/event-stream"
        async with asyncio.timeout(60), aclosing(response.streaming_content) as chunks:
            async for chunk in chunks:
                if not chunk.startswith(b":"):
                    fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines())
                    yield fields["event"], json.loads(fields["data"]), fields.get("id")

    return events


def _status(event):
    name, data, event_id = event
    assert (name, event_id) == ("status", None)
    return data["status"]


async def test_a_stream_tells_everything_in_order(follow, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.emit(fake_run, "updates", {"n": 1})
    agent_service.emit(fake_run, "custom", "ü")
    stream = follow(run)
    first = [await anext(stream) for _ in range(3)]
    agent_service.finish(fake_run, {"result": 1})
    await in_database(report, fake_run)

    rest = [event async for event in stream]

    assert _status(first[0]) == RunStatus.PENDING
    assert first[1:] == [("updates", {"n": 1}, "1-1"), ("custom", "ü", "1-2")]
    assert [_status(event) for event in rest] == [RunStatus.COMPLETED]


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(follow, submitted, agent_service, report):
    run, fake_run = submitted
    for number in range(5):
        agent_service.emit(fake_run, "updates", number)
    agent_service.finish(fake_run, {})
    await in_database(report, fake_run)

    events = [event async for event in follow(run, last="1-3")]

    assert events[:-1] == [("updates", 3, "1-4"), ("updates", 4, "1-5")]
    assert _status(events[-1]) == RunStatus.COMPLETED


async def test_a_stream_goes_over_a_pause_for_a_person(
    follow, parked, decide, agent_service, report, submitted
):
    run, (approval,) = await in_database(parked, "a")
    agent_service.emit(agent_service.runs[0], "updates", "asked")
    stream = follow(run)
    asked, waiting = await anext(stream), await anext(stream)
    await in_database(decide, approval)
    await in_database(dispatcher.deliver_due)
    agent_service.emit(agent_service.runs[1], "updates", "done")
    agent_service.finish(agent_service.runs[1], {})
    await in_database(report, agent_service.runs[1])

    rest = [event async for event in stream]

    assert asked == ("updates", "asked", "1-1")
    assert _status(waiting) == RunStatus.AWAITING_APPROVAL
    assert ("updates", "done", "2-1") in rest
    assert _status(rest[-1]) == RunStatus.COMPLETED


async def test_a_stream_of_two_segments_is_resumed_in_the_first(
    follow, parked, decide, agent_service, report
):
    run, (approval,) = await in_database(parked, "a")
    for number in range(3):
        agent_service.emit(agent_service.runs[0], "updates", number)
    await in_database(decide, approval)
    await in_database(dispatcher.deliver_due)
    agent_service.emit(agent_service.runs[1], "updates", "done")
    agent_service.finish(agent_service.runs[1], {})
    await in_database(report, agent_service.runs[1])

    events = [event async for event in follow(run, last="1-2")]

    assert [event_id for _, _, event_id in events] == ["1-3", "2-1", None]


async def test_a_stream_waits_for_a_run_that_is_not_delivered_yet(follow, start, agent_service, report):
    run = await in_database(start)
    stream = follow(run)
    pending = await anext(stream)
    await in_database(dispatcher.deliver_due)
    agent_service.emit(agent_service.runs[0], "updates", 1)

    event = await anext(stream)
    await stream.aclose()

    assert _status(pending) == RunStatus.PENDING
    assert event == ("updates", 1, "1-1")


async def test_a_stream_tells_when_a_worker_begins(follow, submitted):
    run, _ = submitted
    stream = follow(run)
    await anext(stream)

    await in_database(_begin, run)
    event = await anext(stream)
    await stream.aclose()

    assert _status(event) == RunStatus.RUNNING


@pytest.fixture
def lost():
    """Is set when those who watch runs have heard that their connection is gone."""
    heard = asyncio.Event()

    def hear(_record):
        heard.set()
        return True

    notifications.logger.addFilter(hear)
    yield heard
    notifications.logger.removeFilter(hear)


async def test_a_stream_outlives_its_connection(follow, start, cut_connections, lost, caplog):
    run = await in_database(start)
    stream = follow(run)
    await anext(stream)
    await in_database(_begin, run)
    await anext(stream)  # so the connection is there

    await in_database(cut_connections, "LISTEN%")
    async with asyncio.timeout(60):
        await lost.wait()
    await in_database(runs.cancel, run.pk)
    rest = [event async for event in stream]

    # How many were cut says nothing: that of an earlier stream may still be on its way out.
    assert caplog.text.count("notifications.database_lost") == 1
    assert [_status(event) for event in rest] == [RunStatus.CANCELLED]


async def test_a_failed_run_ends_its_stream_with_the_reason(follow, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.MODEL_FAILED)
    await in_database(report, fake_run)

    events = [event async for event in follow(run)]

    assert events == [
        (
            "status",
            {
                "run_id": str(run.pk),
                "status": "failed",
                "error": {"code": "model_failed", "message": "made to fail"},
            },
            None,
        )
    ]


async def test_a_cancelled_run_ends_its_stream_without_the_agent_service(follow, submitted, agent_service):
    run, _ = submitted
    agent_service.refusing = (503, ErrorCode.UNAVAILABLE)
    await in_database(runs.cancel, run.pk)

    events = [event async for event in follow(run)]

    assert [_status(event) for event in events] == [RunStatus.CANCELLED]


@pytest.mark.parametrize("last", ["latest", "9" * 5000 + "-1"], ids=["a word", "an enormous number"])
async def test_a_strange_last_event_id_is_refused(async_client, user, submitted, problem_of, last):
    run, _ = submitted
    await async_client.aforce_login(user)

    response = await async_client.get(f"/api/agents/runs/{run.pk}/events/", headers={"Last-Event-ID": last})

    assert problem_of(response) == (422, ErrorCode.INVALID_REQUEST)


async def test_a_stream_of_somebody_else_is_not_there(async_client, make_user, submitted, problem_of):
    run, _ = submitted
    await async_client.aforce_login(await in_database(make_user))

    response = await async_client.get(f"/api/agents/runs/{run.pk}/events/")

    assert problem_of(response) == (404, ErrorCode.NOT_FOUND)


def _begin(run):
    with dispatcher.transaction.atomic():
        runs.begin(runs.locked(run.pk))
