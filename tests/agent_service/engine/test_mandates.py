import asyncio
import uuid

import httpx
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from pydantic import BaseModel

from agent_service.engine import run
from agent_service.events import log
from agent_service.testing import django
from agent_service.tools import binding
from shared_schemas import keys
from shared_schemas.tools import GrantedModel


class AddNote(BaseModel):
    """Add a note."""

    text: str


@pytest.fixture
def fake(settings):
    subject = django.FakeDjango(trusted=keys.parse_trusted([settings.signing_key.public_text()]))
    subject.offer("add_note", AddNote, lambda call: {"note": call.text})
    subject.offer("publish_note", AddNote, lambda call: {"published": call.text}, needs_approval=True)
    return subject


@pytest.fixture
def graphs(stage):
    def calling(tool):
        async def call(state, runtime: Runtime):
            answer = await binding.call_from_node(runtime, tool, {"text": state["text"]}, step="call")
            stage.reached.set()
            await stage.go_on.wait()
            return {"trail": [answer.result]}

        return "call", call

    return {
        "adding": stage.chain(calling("add_note")),
        "publishing": stage.chain(calling("publish_note")),
    }


@pytest.fixture
async def services(open_services, fake):
    return await open_services(transport=httpx.ASGITransport(app=fake.app()))


@pytest.fixture
def mandated(submission, fake):
    """Return a function that makes a submission with a mandate."""

    def make(graph, **changes):
        mandate_run = changes.pop("mandate_run", None) or fake.start_run()
        return submission(graph, metadata={"mandate_run": mandate_run}, **changes)

    return make


async def test_a_run_with_a_mandate_calls_djangos_tools(services, worker, mandated, end_of, fake, stage):
    stage.go_on.set()

    ended = await end_of(await services.queue.submit(mandated("adding")))

    assert ended.status is run.RunStatus.SUCCESS
    assert fake.effects == [("add_note", {"text": "hello"})]


async def test_a_run_without_a_mandate_has_no_tools(services, worker, submission, end_of, fake):
    ended = await end_of(await services.queue.submit(submission("adding")))

    assert ended.error.code == "tool_not_granted"
    assert fake.requests == []


@pytest.mark.parametrize(
    "granted", [[], [GrantedModel(name="gpt-b", provider="openai")]], ids=["none", "another"]
)
async def test_a_model_that_the_session_does_not_grant_is_refused(
    services, worker, mandated, end_of, fake, granted
):
    fake.models = granted
    payload = run.Payload(input={"text": "hello"}, context={"model": "gpt-a"})

    ended = await end_of(await services.queue.submit(mandated("adding", payload=payload)))

    assert ended.error.code == "unknown_model"
    assert "'gpt-a'" in ended.error.message
    assert fake.effects == []


async def test_no_node_of_a_run_works_on_that_was_lost_between_two_events(
    open_services, start_worker, fake, mandated, graphs, stage
):
    async def lose(state):
        await stage.reached.wait()
        if not stage.go_on.is_set():
            stage.go_on.set()
            async with services.pool.connection() as connection:
                await connection.execute("UPDATE runs SET epoch = nextval('run_epochs')")
            await GenericFakeChatModel(messages=iter([AIMessage("yes")])).ainvoke("hello")
            get_stream_writer()("What was used is kept with this.")
            await asyncio.Event().wait()

    async def stay(state):
        stage.reached.set()
        if not stage.go_on.is_set():
            try:
                await asyncio.Event().wait()
            finally:
                stage.visits.append("left")

    graphs["losing"] = stage.side_by_side(("lose", lose), ("stay", stay))
    services = await open_services(transport=httpx.ASGITransport(app=fake.app()))
    await start_worker(services)
    payload = run.Payload(input={}, stream_modes=("custom",))
    row = await services.queue.submit(mandated("losing", payload=payload))

    await services.events.ended(row.run_id)

    assert stage.visits == ["left"]


async def test_the_run_token_dies_with_the_run(services, worker, mandated, end_of, fake, stage):
    stage.go_on.set()
    submitted = mandated("adding")

    await end_of(await services.queue.submit(submitted))

    assert fake.runs[submitted.metadata["mandate_run"]].token is None


async def test_no_run_token_is_stored_anywhere(services, worker, mandated, end_of, query, stage):
    stage.go_on.set()
    await end_of(await services.queue.submit(mandated("adding")))

    for table in ("runs", "threads", "run_events", "webhooks", "checkpoints", "checkpoint_writes"):
        assert await query(f"SELECT * FROM {table} AS row WHERE row::text LIKE '%%djr_%%'") == []
    assert (
        await query("SELECT 1 FROM checkpoint_blobs WHERE position('djr_' IN encode(blob, 'escape')) > 0")
        == []
    )


async def test_an_approval_parks_the_run_without_a_token(services, worker, mandated, end_of, fake):
    submitted = mandated("publishing")

    ended = await end_of(await services.queue.submit(submitted))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    [[pending]] = thread.interrupts.values()
    assert ended.status is run.RunStatus.SUCCESS
    assert thread.status is run.ThreadStatus.INTERRUPTED
    assert pending["value"]["type"] == "approval"
    assert fake.runs[submitted.metadata["mandate_run"]].token is None


async def test_a_decided_approval_lets_the_run_go_on(services, worker, mandated, end_of, fake, stage):
    stage.go_on.set()
    submitted = mandated("publishing")
    parked = await end_of(await services.queue.submit(submitted))
    thread = await services.repository.thread(parked.thread_id, owner=parked.owner)
    [[pending]] = thread.interrupts.values()
    fake.approve(uuid.UUID(pending["value"]["approval_id"]))

    answer = run.Payload(command={"resume": {pending["id"]: "decided"}})
    await end_of(
        await services.queue.submit(
            mandated("publishing", thread_id=parked.thread_id, payload=answer, **submitted.metadata)
        )
    )

    thread = await services.repository.thread(parked.thread_id, owner=parked.owner)
    assert thread.values["trail"] == [{"published": "hello"}]
    assert fake.effects == [("publish_note", {"text": "hello"})]


async def test_a_takeover_between_effect_and_checkpoint_repeats_no_effect(
    services, mandated, end_of, fake, stage, start_worker
):
    submitted = mandated("adding")
    row = await services.queue.submit(submitted)
    claim = await services.worker.leases.claim(row.run_id)
    pen = log.Pen(run_id=row.run_id, epoch=claim.epoch, seq=0)
    dying = asyncio.create_task(services.worker.executor.open(claim, pen).perform())
    await stage.reached.wait()
    dying.cancel()
    await asyncio.wait({dying})
    stage.go_on.set()

    await start_worker(services)
    ended = await end_of(row)

    assert ended.status is run.RunStatus.SUCCESS
    assert fake.effects == [("add_note", {"text": "hello"})]
    assert fake.replays(submitted.metadata["mandate_run"]) == 1
