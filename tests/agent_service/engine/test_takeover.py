import asyncio
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from agent_service.engine import run
from shared_schemas import keys
from tests.agent_service import house
from tests.agent_service.engine import stepping_graph

GRAPHS = Path(__file__).with_name("langgraph.json")
IN_FLIGHT = 50
LEAVES_WITHIN = 30
"""Seconds."""

pytestmark = pytest.mark.e2e


@pytest.fixture
def silence():
    """After so long a worker is taken for dead."""
    return timedelta(seconds=3)


@pytest.fixture
def settings(settings, silence):
    return settings.model_copy(update={"heartbeat_timeout": silence})


@pytest.fixture
async def services(open_services):
    return await open_services(graphs=GRAPHS)


@pytest.fixture
def graphs():
    return {}


@pytest.fixture
def start_process(settings, tmp_path):
    """Return a function that starts a worker in a process of its own, in which the graph never ends."""

    def start():
        environment = {
            "AGENT_DATABASE_URL": settings.database_url.get_secret_value(),
            "AGENT_SIGNING_KEY": keys.generate(),
            "AGENT_TRUSTED_KEYS": keys.parse_signing(keys.generate()).public_text(),
            "AGENT_DJANGO_URL": settings.django_url,
            "AGENT_GRAPHS": str(GRAPHS),
            "AGENT_HEARTBEAT_TIMEOUT": str(settings.heartbeat_timeout.total_seconds()),
            "HOLD": "1",
            "STEPS_FILE": str(tmp_path / "steps"),
        }
        return start_with(environment)

    with house.worker_processes(tmp_path / "worker.log") as start_with:
        yield start


async def test_a_killed_workers_run_goes_on_where_it_stood(
    services, start_process, start_worker, submission, end_of
):
    process = start_process()
    payload = run.Payload(input={"trail": ["input"]}, stream_modes=("custom",), durability="sync")
    row = await services.queue.submit(submission("held", payload=payload))
    await has_begun(services, row)

    process.send_signal(signal.SIGKILL)
    await start_worker(services)
    ended = await end_of(row)

    thread = await services.repository.thread(row.thread_id, owner=row.owner)
    assert (ended.status, ended.attempt) == (run.RunStatus.SUCCESS, 2)
    assert thread.values["trail"] == ["input", "first", "gate"]


# What a process is silent for when the machine is busy is less than what tells that it died.
@pytest.mark.parametrize("silence", [timedelta(seconds=8)], ids=["8 s"])
async def test_a_worker_that_computes_for_longer_than_it_may_be_silent_keeps_its_run(
    services, silence, start_process, start_worker, submission, end_of
):
    seconds = 1.5 * silence.total_seconds()
    start_process()
    given = {"trail": [], "seconds": seconds}
    payload = run.Payload(input=given, stream_modes=("custom",), durability="sync")
    row = await services.queue.submit(submission("busy", payload=payload))
    await has_begun(services, row)

    await start_worker(services)
    ended = await end_of(row)

    assert (ended.status, ended.attempt) == (run.RunStatus.SUCCESS, 1)


async def test_a_worker_that_is_told_to_stop_hands_fifty_runs_on_and_no_finished_step_is_done_again(
    services, start_process, submission, end_of, query, tmp_path
):
    first = start_process()
    payload = run.Payload(input={"done": []}, stream_modes=("custom",), durability="sync")
    rows = [await services.queue.submit(submission("stepping", payload=payload)) for _ in range(IN_FLIGHT)]
    for row in rows:
        await has_begun(services, row)

    first.send_signal(signal.SIGTERM)
    status = await asyncio.to_thread(first.wait, LEAVES_WITHIN)
    handed_on = await query("SELECT count(*) FROM runs WHERE status = 'pending'")
    start_process()
    ended = [await end_of(row) for row in rows]

    steps = Counter((tmp_path / "steps").read_text().splitlines())
    assert status == 0
    assert handed_on > [(0,)]
    assert {(one.status, one.attempt) for one in ended} == {(run.RunStatus.SUCCESS, 1)}
    assert steps == Counter(f"{row.thread_id} {step}" for row in rows for step in range(stepping_graph.STEPS))


async def has_begun(services, row):
    async for event in services.events.read(row.run_id):
        if event.event == "custom":
            return
