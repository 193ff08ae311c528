"""LangGraph's own law for checkpointers, held against the savers that we construct."""

import asyncio
import uuid

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

from agent_service import bootstrap, checkpointing
from agent_service.engine import run
from tests.agent_service import cancelling, locks

# What the PostgreSQL saver of LangGraph has; the other two it does not offer, and we do not use.
CAPABILITIES = set(Capability) - {Capability.DELETE_FOR_RUNS, Capability.COPY_THREAD}


@pytest.fixture
async def services(settings):
    async with bootstrap.open_services(settings) as opened:
        yield opened


@pytest.fixture
async def claim(services):
    """A worker's hold on a run."""
    row = await services.queue.submit(
        run.Submission(
            thread_id=uuid.uuid4(),
            assistant_id=uuid.uuid4(),
            graph_id="any",
            payload=run.Payload(input=None),
            owner="ann",
            create_thread=True,
        )
    )
    return await services.worker.leases.claim(row.run_id)


@pytest.mark.parametrize("kind", ["saver", "fenced saver"])
async def test_every_saver_keeps_the_law_of_checkpointers(services, claim, kind):
    checkpoints = checkpointing.Checkpoints(pool=services.pool, serializer=checkpointing.serializer())

    @checkpointer_test(name=kind)
    async def make():
        fenced = checkpoints.saver_of(claim.run.run_id, epoch=claim.epoch)
        yield fenced if kind == "fenced saver" else checkpoints.saver()

    report = await validate(make)

    broken = {name: result.failures for name, result in report.results.items() if result.passed is False}
    assert broken == {}
    assert {name for name, result in report.results.items() if result.passed} == set(CAPABILITIES)


async def test_a_write_that_has_begun_ends_though_it_is_cancelled_twice(services, claim):
    checkpoints = checkpointing.Checkpoints(pool=services.pool, serializer=checkpointing.serializer())
    saver = checkpoints.saver_of(claim.run.run_id, epoch=claim.epoch)
    place = {"configurable": {"thread_id": str(claim.run.thread_id), "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    url = services.settings.database_url.get_secret_value()
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as other,
        other.transaction(),
    ):
        await other.execute("LOCK checkpoints")
        writing = asyncio.create_task(saver.aput(place, checkpoint, {"source": "loop", "step": 1}, {}))
        await locks.held_up(other)
        await cancelling.cancel_as_langgraph_does(writing)

    async with asyncio.timeout(20):
        while (found := await checkpoints.saver().aget_tuple(place)) is None:
            pass
    assert found.checkpoint["id"] == checkpoint["id"]
