import json
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg import conninfo

from agent_service import database, webhooks
from shared_schemas import keys, signatures
from shared_schemas.webhooks import RunEnded

URL = "http://django.test/api/agents/webhooks/"

OFTEN = len(webhooks.SCHEDULE) - 1
"""After so many attempts a message that fails once more does not come back while its test lasts, however slowly."""


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
    async with pool.connection() as connection:
        return await _send(connection)


@pytest.fixture
def row(pool):
    """Return a function that reads the one message."""

    async def read():
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT *, next_attempt_at - now() AS delay,"
                " next_attempt_at - (SELECT max(made_at) FROM webhook_attempts) AS pause FROM webhooks"
            )
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
    assert waiting["delay"] <= webhooks.SCHEDULE[0] <= waiting["pause"]


async def test_nothing_is_tried_before_its_time(deliverer, answers, received, pool):
    answers.append(503)
    async with pool.connection() as connection:
        await _send(connection, attempts=OFTEN)
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


async def test_every_attempt_is_kept_with_its_answer(deliverer, ended, answers, pool):
    answers += [503]
    await deliverer.deliver_due()
    async with pool.connection() as connection:
        await connection.execute("UPDATE webhooks SET next_attempt_at = now()")
        await deliverer.deliver_due()
        [listed] = await webhooks.listed(connection, open_only=False, limit=10)

    assert listed["answers"] == ["503", "204"]
    assert listed["delivered_at"] is not None


async def test_an_abandoned_webhook_is_delivered_again_when_somebody_asks(
    deliverer, ended, answers, received, pool, row
):
    answers.append(500)
    async with pool.connection() as connection:
        await connection.execute("UPDATE webhooks SET attempts = %s", (len(webhooks.SCHEDULE),))
        await deliverer.deliver_due()

        again = await webhooks.redeliver(connection, [], all_abandoned=True)
    await deliverer.deliver_due()

    assert again == [(await row())["webhook_id"]]
    assert (await row())["delivered_at"] is not None
    assert {request.headers[signatures.ID_HEADER] for request in received} == {str(again[0])}


async def test_an_address_that_keeps_failing_is_left_alone_and_tried_again(
    deliverer, answers, received, pool
):
    answers += [500] * webhooks.PATIENCE
    async with pool.connection() as connection:
        for _ in range(webhooks.PATIENCE):
            await _send(connection, attempts=OFTEN)
            await deliverer.deliver_due()
        await _send(connection)

        meanwhile = await deliverer.deliver_due()
        await connection.execute("UPDATE webhook_addresses SET resting_until = now()")
        after = await deliverer.deliver_due()
        cursor = await connection.execute("SELECT count(*) AS left FROM webhook_addresses")
        closed = await cursor.fetchone()

    assert (meanwhile, after) == (0, 1)
    assert len(received) == webhooks.PATIENCE + 1
    assert closed["left"] == 0


async def test_attempts_that_fail_at_once_count_as_one(deliverer, answers, received, pool):
    answers += [500] * webhooks.BATCH_SIZE
    async with pool.connection() as connection:
        for _ in range(webhooks.BATCH_SIZE):
            await _send(connection, attempts=OFTEN)
        await deliverer.deliver_due()
        await _send(connection)

        assert await deliverer.deliver_due() == 1


async def test_another_address_is_not_left_alone_with_it(deliverer, answers, received, pool):
    answers += [500] * webhooks.PATIENCE
    async with pool.connection() as connection:
        for _ in range(webhooks.PATIENCE):
            await _send(connection, attempts=OFTEN)
            await deliverer.deliver_due()
        await _send(connection, url="http://other.test/")

        assert await deliverer.deliver_due() == 1


async def test_an_answer_that_cannot_be_noted_ends_nothing_and_the_message_comes_back(
    deliverer, ended, received, row, database_url
):
    hurried = conninfo.make_conninfo(database_url, options="-c lock_timeout=10ms")
    async with (
        database.open_pool(hurried, min_size=1, max_size=1, patience=timedelta(seconds=5)) as deliverer.pool,
        await psycopg.AsyncConnection.connect(database_url) as holder,
    ):
        await holder.execute("LOCK TABLE webhook_attempts")

        tried = await deliverer.deliver_due()

    waiting = await row()
    assert (tried, len(received)) == (1, 1)
    assert waiting["delivered_at"] is None
    assert timedelta(0) < waiting["delay"] <= webhooks.HOLD


async def _send(connection, url=URL, attempts=0):
    ended = RunEnded(run_id=uuid.uuid4(), thread_id="thread", status="success", sequence=1)
    values = webhooks.message(ended) | {"run_id": ended.run_id, "url": url, "attempts": attempts}
    await connection.execute(
        "INSERT INTO webhooks (webhook_id, run_id, sequence, url, body, attempts)"
        " VALUES (%(webhook_id)s, %(run_id)s, %(sequence)s, %(url)s, %(body)s, %(attempts)s)"
        " RETURNING pg_notify('mandate_webhooks', '')",
        values,
    )
    return ended
