import asyncio
import re
from pathlib import Path

import httpx
import pytest

from agent_service.engine import metrics
from stack import processes

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
ENDED = 'mandate_agent_run_seconds_count{graph="plain",status="success"}'


@pytest.fixture
def port():
    return processes.free_port()


@pytest.fixture
async def services(open_services, port):
    return await open_services(metrics_port=port)


@pytest.fixture
def shown(services, port):
    """Return a function that asks as Prometheus does, and returns each sample's value by its name."""

    async def ask():
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            answer = await http.get(f"http://127.0.0.1:{port}/metrics")
        lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    return ask


async def test_what_waits_works_and_parks_is_counted(services, worker, submission, end_of, stage, shown):
    await end_of(await services.queue.submit(submission("asking")))
    await end_of(await services.queue.submit(submission("plain")))
    held = await services.queue.submit(submission("gated"))
    await services.queue.submit(submission("plain", held.thread_id))
    await stage.reached.wait()

    # Its end is told before it is counted.
    async with asyncio.timeout(30):
        while ENDED not in (seen := await shown()):
            pass
    stage.go_on.set()

    assert seen["mandate_agent_database_up"] == 1
    assert seen['mandate_agent_runs{graph="gated",status="running"}'] == 1
    assert seen['mandate_agent_runs{graph="plain",status="pending"}'] == 1
    assert seen["mandate_agent_threads_parked"] == 1
    assert seen["mandate_agent_runs_oldest_pending_seconds"] == 0
    assert seen[ENDED] == 1
    assert seen['mandate_agent_attempts_total{graph="gated"}'] == 1
    assert seen['mandate_agent_table_bytes{table="run_events"}'] > 0


async def test_a_queue_that_nobody_works_on_grows_old(services, submission, shown, query):
    await services.queue.submit(submission())
    old = "now() - interval '1 hour'"
    await query(f"UPDATE runs SET created_at = {old}, not_before = {old} RETURNING 1")

    seen = await shown()

    assert seen["mandate_agent_runs_oldest_pending_seconds"] >= 3600


async def test_a_database_that_is_away_is_shown_as_such():
    away = metrics.Database("postgresql://agent@/agents?host=/nowhere")

    [up] = away.collect()

    assert up.name == "mandate_agent_database_up"
    assert [sample.value for sample in up.samples] == [0]


async def test_every_metric_is_documented_and_no_other(services):
    named = {family.name for family in services.worker.metrics.registry.collect()}

    explained = set(re.findall(r"^\| `(mandate_agent_\w+)` \|", PAGE.read_text(), re.MULTILINE))

    assert explained == named
