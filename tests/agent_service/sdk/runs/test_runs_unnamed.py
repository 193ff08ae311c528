"""Runs that are cancelled without their ids: by status, by thread, by who left before there was one."""

import asyncio

import psycopg
import pytest

from tests.agent_service import locks


async def test_a_thread_deleted_while_runs_are_cancelled_by_status_is_no_fault(
    client, service, begun, thread_id
):
    gone = (await client.threads.create())["thread_id"]
    run = await begun(thread_id, "holding", {})
    await client.runs.create(gone, "adding", input={}, after_seconds=600)
    url = service.settings.database_url.get_secret_value()

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        async with connection.transaction():
            await connection.execute("DELETE FROM threads WHERE thread_id = %s", (gone,))
            cancelling = asyncio.create_task(client.runs.cancel_many(status="all"))
            await locks.held_up(connection)
        await cancelling

    await client.runs.join(thread_id, run["run_id"])
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


@pytest.mark.parametrize("way", ["wait", "stream"])
async def test_a_run_is_cancelled_when_its_creator_left_before_it_knew_the_id(
    client, http, service, thread_id, way
):
    url = service.settings.database_url.get_secret_value()
    body = {"assistant_id": "holding", "input": {}, "on_disconnect": "cancel"}

    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
        connection.transaction(),
    ):
        await connection.execute("SELECT FROM threads WHERE thread_id = %s FOR UPDATE", (thread_id,))
        asking = asyncio.create_task(http.post(f"/threads/{thread_id}/runs/{way}", json=body))
        await locks.held_up(connection)
        asking.cancel()
        await asyncio.wait({asking})

    async with asyncio.timeout(30):
        while [run["status"] for run in await client.runs.list(thread_id)] != ["interrupted"]:
            pass


async def test_the_runs_of_a_thread_are_cancelled_by_who_knows_no_id(client, thread_id, begun):
    await begun(thread_id, "holding", {})
    other = await begun((await client.threads.create())["thread_id"], "holding", {})

    await client.runs.cancel_many(thread_id=thread_id, status="all")

    async with asyncio.timeout(30):
        while [run["status"] for run in await client.runs.list(thread_id)] != ["interrupted"]:
            pass
    assert (await client.runs.get(other["thread_id"], other["run_id"]))["status"] == "running"
    await client.runs.cancel(other["thread_id"], other["run_id"], wait=True)
