"""Webhooks: written in the transaction that ends a run, delivered until somebody takes them.

Delivery is at least once; the receiver keeps the id.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from agent_service import database, http_client
from shared_schemas import crashing, keys, signatures
from shared_schemas.webhooks import RunEnded, Webhook

CHANNEL = "mandate_webhooks"

SCHEDULE = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 7200, 21_600, 86_400, 142_000)
)
"""How long to wait after each failed attempt: ten attempts over three days."""

PATIENCE = 5
"""After so many failures in a row an address is left alone; its messages lose no attempt meanwhile."""

REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=15)
"""The rest is doubled with each further failure, up to this."""

ANSWER_WITHIN = timedelta(seconds=15)
HOLD = timedelta(seconds=30)
"""A message that was taken comes back after this time, should its taker die."""

BATCH_SIZE = 20
IDLE_POLL = timedelta(seconds=60)
RETRY_DELAY = timedelta(seconds=1)

_QUERIES = database.load_queries(resources.files("agent_service").joinpath("webhooks.sql").read_text())

log = structlog.get_logger(__name__)


def message(ended: RunEnded) -> dict[str, object]:
    """Return what is sent when a run has ended, as the fields of its row."""
    body = Webhook(type="run.ended", timestamp=datetime.now(UTC), data=ended)
    return {"webhook_id": uuid4(), "sequence": ended.sequence, "body": body.model_dump_json()}


async def listed(connection: database.Connection, *, open_only: bool, limit: int) -> list[dict[str, Any]]:
    """Return the latest webhooks with what each attempt was answered."""
    cursor = await connection.execute(_QUERIES["list"], {"open_only": open_only, "limit": limit})
    return await cursor.fetchall()


async def redeliver(
    connection: database.Connection, webhook_ids: Sequence[UUID], *, all_abandoned: bool = False
) -> list[UUID]:
    """Deliver these again, from the first attempt on, and return which those are; the receiver knows the ids."""
    values = {"webhook_ids": list(webhook_ids), "all_abandoned": all_abandoned}
    cursor = await connection.execute(_QUERIES["redeliver"], values)
    return [row["webhook_id"] for row in await cursor.fetchall()]


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Delivers the outbox. Any number of processes may."""

    pool: database.Pool
    http: httpx.AsyncClient
    signing_key: keys.SigningKey
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self.arrived.clear()
            try:
                if not await self.deliver_due():
                    await self._wait(await self._until_next())
            except (psycopg.OperationalError, PoolTimeout):
                log.warning("webhooks.database_away", exc_info=True)
                await asyncio.sleep(RETRY_DELAY.total_seconds())

    async def deliver_due(self) -> int:
        """Try each message that is due once, and return how many those were."""
        due = await self._all("take", hold=HOLD, limit=BATCH_SIZE)
        async with asyncio.TaskGroup() as deliveries:
            for message in due:
                deliveries.create_task(self._try(message))
        return len(due)

    async def _try(self, message: dict[str, Any]) -> None:
        """Deliver a message; one whose answer cannot be noted comes back when its hold is over."""
        try:
            await self._deliver(message)
        except database.AWAY:
            # Met here: a task group would end the other deliveries by it, and hand on a group that nobody expects.
            log.warning("webhooks.database_away", webhook_id=str(message["webhook_id"]), exc_info=True)

    async def _deliver(self, message: dict[str, Any]) -> None:
        crashing.point("webhook.before_post")
        answer, taken = await self._post(message)
        crashing.point("webhook.after_answer")
        await self._note(message, answer, taken=taken)
        if taken:
            await self._all("delivered", webhook_id=message["webhook_id"], answer=answer)
        elif message["attempts"] > len(SCHEDULE):
            await self._all("abandon", webhook_id=message["webhook_id"], answer=answer)
        else:
            delay = SCHEDULE[message["attempts"] - 1]
            await self._all("postpone", webhook_id=message["webhook_id"], delay=delay, answer=answer)
        log.info(
            "webhook.delivered" if taken else "webhook.refused",
            webhook_id=str(message["webhook_id"]),
            run_id=str(message["run_id"]),
            attempt=message["attempts"],
            answer=answer,
        )

    async def _note(self, message: dict[str, Any], answer: str, *, taken: bool) -> None:
        about = {"webhook_id": message["webhook_id"], "attempt": message["attempts"]}
        await self._all("note", **about, answer=answer, taken=taken)
        if taken:
            await self._all("address_answers", url=message["url"])
        else:
            resting = {"patience": PATIENCE, "rest": REST, "longest": LONGEST_REST}
            await self._all("address_fails", url=message["url"], taken_at=message["taken_at"], **resting)

    async def _post(self, message: dict[str, Any]) -> tuple[str, bool]:
        body = message["body"].encode()
        headers = signatures.sign(
            self.signing_key, message_id=str(message["webhook_id"]), sent_at=datetime.now(UTC), body=body
        )
        try:
            response = await self.http.post(
                message["url"], content=body, headers=headers | {"Content-Type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__, False
        return str(response.status_code), response.is_success

    async def _until_next(self) -> timedelta:
        rows = await self._all("until_next")
        delay: timedelta | None = rows[0]["delay"]
        return IDLE_POLL if delay is None else max(min(delay, IDLE_POLL), timedelta(0))

    async def _wait(self, delay: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay.total_seconds()):
                await self.arrived.wait()

    async def _all(self, query: str, **values: object) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_QUERIES[query], values)
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def open_deliverer(
    pool: database.Pool,
    listener: database.Listener,
    *,
    signing_key: keys.SigningKey,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Deliverer]:
    """Open the one HTTP client for webhooks; it never follows a redirect."""
    async with http_client.Client(
        transport=transport, timeout=ANSWER_WITHIN.total_seconds(), follow_redirects=False
    ) as http:
        deliverer = Deliverer(pool=pool, http=http, signing_key=signing_key)
        listener.subscribe(CHANNEL, lambda _: deliverer.arrived.set())
        listener.subscribe_to_gaps(deliverer.arrived.set)
        yield deliverer
