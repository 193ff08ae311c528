"""Who follows a thread while the worker of its run dies."""

import asyncio
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared_schemas import keys
from tests.agent_service import house

GRAPHS = Path(__file__).parents[2] / "engine" / "langgraph.json"
EVERYTHING = ["values", "updates", "messages", "lifecycle", "input", "checkpoints", "tasks", "custom"]

pytestmark = pytest.mark.e2e


@pytest.fixture
def service(settings, make_database, migrated_database):
    """A service on a database of its own that only answers HTTP."""
    own_database = SecretStr(make_database(migrated_database))
    own = settings.model_copy(update={"graphs": GRAPHS, "database_url": own_database})
    with house.opened(own, with_worker=False) as served:
        yield served


@pytest.fixture
def start_worker(service, tmp_path):
    """Return a function that starts a worker in a process of its own; one that holds never ends its run."""
    environment = {
        "AGENT_DATABASE_URL": service.settings.database_url.get_secret_value(),
        "AGENT_SIGNING_KEY": keys.generate(),
        "AGENT_TRUSTED_KEYS": keys.parse_signing(keys.generate()).public_text(),
        "AGENT_DJANGO_URL": service.settings.django_url,
        "AGENT_GRAPHS": str(GRAPHS),
        "AGENT_HEARTBEAT_TIMEOUT": "1",
    }

    def start(*, holds):
        return start_with(environment | ({"HOLD": "1"} if holds else {}))

    with house.worker_processes(tmp_path / "worker.log") as start_with:
        yield start


def is_over(event):
    return event["method"] == "lifecycle" and event["params"]["data"]["event"] == "completed"


async def test_nothing_is_lost_and_nothing_told_twice(command, stream_events, start_worker):
    thread_id, at_work = str(uuid.uuid4()), asyncio.Event()

    def until(event):
        if event["method"] == "custom":
            at_work.set()
        return is_over(event)

    dying = start_worker(holds=True)
    await command(thread_id, "run.start", assistant_id="held", input={"trail": []}, durability="sync")
    following = asyncio.create_task(stream_events(thread_id, until=until, channels=EVERYTHING))
    await at_work.wait()
    dying.kill()
    start_worker(holds=False)
    live = await following

    again = await stream_events(thread_id, until=is_over, channels=EVERYTHING)
    values = [event["params"]["data"] for event in live if event["method"] == "values"]
    assert live == again
    assert len({event["seq"] for event in live}) == len(live)
    assert [value["trail"] for value in values] == [[], ["first"], ["first", "gate"]]
