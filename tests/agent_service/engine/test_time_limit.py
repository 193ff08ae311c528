"""A run's ceiling of time is one for all its attempts, and for its work alone."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from agent_service import exceptions
from agent_service.engine import run
from shared_schemas.problems import ErrorCode
from tests.agent_service.engine import giving_back

PATIENCE = 60
"""Seconds after which something hangs."""


@pytest.fixture
def change(database_url):
    """Return a function that changes the row of the only run."""

    async def execute(what):
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(f"UPDATE runs SET {what}")

    return execute


@pytest.fixture
def graphs(graphs, stage, change):
    async def long_in_vain(state):
        stage.visits.append("tried")
        if len(stage.visits) > 1:
            await asyncio.Event().wait()
        await change("claimed_at = claimed_at - interval '1 hour'")
        raise exceptions.TryAgain("not now")

    async def half_in_vain(state):
        await asyncio.sleep(0.3)
        raise exceptions.TryAgain("not now")

    return graphs | {
        "long": stage.chain(("long", long_in_vain)),
        "half": stage.chain(("half", half_in_vain)),
    }


async def test_what_an_attempt_took_is_gone_for_the_next(open_services, start_worker, submission, end_of):
    services = await open_services(retry_delay=timedelta(milliseconds=10))
    await start_worker(services)

    async with asyncio.timeout(PATIENCE):
        ended = await end_of(await services.queue.submit(submission("long")))

    assert (ended.status, ended.attempt) == (run.RunStatus.TIMEOUT, 2)
    assert ended.error.code is ErrorCode.RUN_TIMEOUT


async def test_short_attempts_add_up(open_services, start_worker, submission, end_of):
    services = await open_services(
        retry_delay=timedelta(milliseconds=10), run_timeout=timedelta(milliseconds=500)
    )
    await start_worker(services)

    ended = await end_of(await services.queue.submit(submission("half")))

    assert ended.status is run.RunStatus.TIMEOUT


@pytest.mark.parametrize("give_back", giving_back.WAYS)
async def test_what_a_run_waits_does_not_count(services, submission, query, change, give_back):
    leases = services.worker.leases
    row = await services.queue.submit(submission())
    await give_back(leases, await leases.claim(row.run_id))
    [(worked,)] = await query("SELECT worked FROM runs")

    await change("claimed_at = claimed_at - interval '1 hour', updated_at = updated_at - interval '1 hour'")
    again = await leases.claim(row.run_id)

    assert again.worked == worked > timedelta(0)


async def test_what_a_worker_worked_before_it_died_counts(services, submission, change):
    leases = services.worker.leases
    row = await services.queue.submit(submission())
    await leases.claim(row.run_id)

    await change("claimed_at = now() - interval '3 hours', updated_at = now() - interval '1 hour'")
    again = await leases.claim(row.run_id)

    assert again.worked == timedelta(hours=2)


async def test_a_worker_notes_that_it_still_works(services, worker, submission, stage, query):
    await services.queue.submit(submission("gated"))
    await stage.reached.wait()

    async with asyncio.timeout(PATIENCE):
        while not await query("SELECT 1 FROM runs WHERE updated_at > claimed_at"):
            pass
    stage.go_on.set()
