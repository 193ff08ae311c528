import json
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from agent_service import database, webhooks
from shared_schemas import keys, signatures
from shared_schemas.webhooks import RunEnded

URL = "http://django.test/api/agents/webhooks/"


@pytest.fixture
async def pool(database_url):
    async with database.open_pool(
        database_url, min_size=1, max_size=4, patience=timedelta(seconds=5)
    ) as opened:
        yield opened


@pytest.fixture
def received():
    return []


@pytest.fixture
def answers():
    """Statuses that the receiver answers with, one by one; 204 when they are used up."""
    return []


@pytest.fixture
async def deliverer(database_url, pool, settings, received, answers):
    def receive(request):
        received.append(request)
        status = answers.pop(0) if answers else 204
        return httpx.Response(status, headers={"Location": "http://elsewhere.test/"})

    transport = httpx.MockTransport(receive)
    async with (
        database.open_listener(database_url, channels=[webhooks.CHANNEL]) as listener,
        webhooks.open_deliverer(
            pool, listener, signing_key=settings.signing_key, transport=transport
        ) as opened,
    ):
        yield opened


@pytest.fixture
async def ended(pool):
    """A run whose webhook waits."""
    message = RunEnded(run_id=uuid.uuid4(), thread_id="thread", status="success", sequence=1)
    async with pool.connection() as connection:
        await webhooks.enqueue(connection, url=URL, ended=message)
    return message


@pytest.fixture
def row(pool):
    """Return a function that reads the one message."""

    async def read():
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT *, next_attempt_at - now() AS delay FROM webhooks")
            return await cursor.fetchone()

    return read


async def test_a_webhook_is_signed_and_says_which_run_ended(deliverer, ended, received, settings):
    await deliverer.deliver_due()

    [request] = received
    trusted = keys.parse_trusted([settings.signing_key.public_text()])
    signatures.verify(
        trusted,
        message_id=request.headers[signatures.ID_HEADER],
        timestamp=request.headers[signatures.TIMESTAMP_HEADER],
        signature=request.headers[signatures.SIGNATURE_HEADER],
        body=request.content,
        now=datetime.now(UTC),
    )
    assert json.loads(request.content)["data"]["run_id"] == str(ended.run_id)


async def test_a_delivered_webhook_is_not_sent_again(deliverer, ended, received):
    await deliverer.deliver_due()
    await deliverer.deliver_due()

    assert len(received) == 1


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500, 503])
async def test_anything_but_success_is_tried_again_later(deliverer, ended, answers, received, row, status):
    answers.append(status)

    await deliverer.deliver_due()

    waiting = await row()
    assert len(received) == 1
    assert (waiting["delivered_at"], waiting["last_answer"]) == (None, str(status))
    assert timedelta(0) < waiting["delay"] <= webhooks.SCHEDULE[0]


async def test_nothing_is_tried_before_its_time(deliverer, ended, answers, received):
    answers.append(503)
    await deliverer.deliver_due()

    await deliverer.deliver_due()

    assert len(received) == 1


async def test_after_the_last_attempt_the_message_is_abandoned(deliverer, ended, answers, pool, row):
    answers.append(500)
    async with pool.connection() as connection:
        await connection.execute("UPDATE webhooks SET attempts = %s", (len(webhooks.SCHEDULE),))

    await deliverer.deliver_due()

    assert (await row())["abandoned_at"] is not None


async def test_the_schedule_lasts_three_days():
    total = sum(webhooks.SCHEDULE, timedelta(0))

    assert timedelta(days=2, hours=23) < total < timedelta(days=3, hours=1)
