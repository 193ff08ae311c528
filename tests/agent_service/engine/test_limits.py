"""A run's models and time, held to what Django says it may use."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import Send
from pydantic import BaseModel

from agent_service.engine import run
from agent_service.events import log
from agent_service.testing import django
from shared_schemas import keys, tools, usage
from shared_schemas.problems import ErrorCode

OUTPUT = 100
"""The longest answer of the model, in tokens; a question is estimated at ten or so."""


class Measured(BaseChatModel):
    """A model whose answers cost what a test says."""

    stage: object
    answering: object
    taken: int = OUTPUT
    under_way: list = []
    most: list = []

    @property
    def _llm_type(self):
        return "measured"

    @property
    def _identifying_params(self):
        return {"model": "measured", "max_tokens": OUTPUT}

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.stage.visits.append("asked")
        used = {"input_tokens": 0, "output_tokens": self.taken, "total_tokens": self.taken}
        told = {"model_name": "measured"}
        message = AIMessage("yes", response_metadata=told, usage_metadata=used)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        self.under_way.append(1)
        self.most.append(len(self.under_way))
        await self.answering.wait()
        self.under_way.pop()
        return self._generate(messages)


class Own(BaseCallbackHandler):
    run_inline = True


class Note(BaseModel):
    """Add a note."""

    text: str


@pytest.fixture
def fake(settings):
    subject = django.FakeDjango(trusted=keys.parse_trusted([settings.signing_key.public_text()]))
    subject.offer("add_note", Note, lambda call: {"note": call.text})
    return subject


@pytest.fixture
def model(stage):
    answering = asyncio.Event()
    answering.set()
    return Measured(stage=stage, answering=answering)


@pytest.fixture
def graphs(stage, model):
    async def ask(state):
        await model.ainvoke("one")
        return {"trail": ["asked"]}

    async def ask_with_own_callbacks(state):
        await model.ainvoke("one", {"callbacks": [Own()]})
        return {"trail": ["asked"]}

    async def ask_on_the_loop(state):
        model.invoke("one")
        return {"trail": ["asked"]}

    def ask_in_thread(state):
        model.invoke("one")
        return {"trail": ["asked"]}

    async def ask_whatever_happens(state):
        try:
            await model.ainvoke("one")
        except Exception:  # noqa: BLE001 - as some graphs do
            await model.ainvoke("one")
        return {"trail": ["asked"]}

    fan = stage.chain(stage.node("first"))
    fan.add_node("ask", ask)
    fan.add_conditional_edges("first", lambda state: [Send("ask", state)] * 6, ["ask"])
    return {
        "asking": stage.chain(("one", ask), ("two", ask), ("three", ask)),
        "own_callbacks": stage.chain(("one", ask_with_own_callbacks), ("two", ask_with_own_callbacks)),
        "threads": stage.chain(("one", ask_in_thread), ("two", ask_in_thread)),
        "on_the_loop": stage.chain(("one", ask_on_the_loop), ("two", ask_on_the_loop)),
        "stubborn": stage.chain(("one", ask), ("two", ask_whatever_happens), stage.node("last")),
        "branches": fan,
        "gated": stage.chain(("one", ask), stage.gate("gate")),
    }


@pytest.fixture
async def services(open_services, fake):
    return await open_services(transport=httpx.ASGITransport(app=fake.app()))


@pytest.fixture
def limited(submission, fake):
    """Return a function that makes a submission of a run with limits."""

    def make(graph, *, used=None, thread_id=None, **limits):
        mandate_run = fake.start_run()
        fake.runs[mandate_run].limits = tools.Limits(**limits)
        fake.runs[mandate_run].used = used or tools.Used()
        # As Django asks for it: the handlers of these streams stand beside those of the limits.
        payload = run.Payload(
            input=None if thread_id else {"text": "hello"},
            stream_modes=("updates", "messages-tuple"),
            stream_subgraphs=True,
        )
        return submission(graph, thread_id=thread_id, payload=payload, metadata={"mandate_run": mandate_run})

    return make


@pytest.fixture
def perform(services, worker, end_of):
    async def until_its_end(submitted):
        return await end_of(await services.queue.submit(submitted))

    return until_its_end


@pytest.mark.parametrize("graph", ["asking", "own_callbacks", "threads", "on_the_loop", "stubborn"])
async def test_a_run_stops_at_its_limit_of_tokens(perform, limited, stage, graph):
    ended = await perform(limited(graph, model_tokens=199))

    assert (ended.status, ended.error.code) == (run.RunStatus.ERROR, ErrorCode.LIMIT_SPENT)
    assert "100 of 199 model tokens are used" in ended.error.message
    assert stage.visits == ["asked"]
    assert ended.usage == [usage.ModelUsage(model="measured", calls=1, output_tokens=100)]


async def test_a_run_within_its_limits_succeeds(perform, limited, stage):
    ended = await perform(limited("asking", model_tokens=400))

    assert ended.status is run.RunStatus.SUCCESS
    assert stage.visits == ["asked"] * 3


async def test_earlier_segments_count(perform, limited, stage):
    before = tools.Used(models=[usage.ModelUsage(model="measured", calls=1, output_tokens=300)])

    ended = await perform(limited("asking", model_tokens=399, used=before))

    assert "300 of 399 model tokens" in ended.error.message
    assert stage.visits == []


async def test_a_run_stops_at_its_limit_of_money(perform, limited, fake, stage):
    fake.prices["measured"] = usage.Price(input=0, output=10_000)

    ended = await perform(limited("asking", money="1.5"))

    assert ended.error.code is ErrorCode.LIMIT_SPENT
    assert "1 of 1.5 money are used" in ended.error.message
    assert stage.visits == ["asked"]


async def test_parallel_branches_do_not_overspend(perform, limited, stage):
    ended = await perform(limited("branches", model_tokens=350))

    assert ended.error.code is ErrorCode.LIMIT_SPENT
    assert stage.visits == ["first", "asked", "asked", "asked"]
    assert ended.usage[0].output_tokens == 300


async def test_parallel_branches_that_take_little_all_get_through(perform, limited, model, stage):
    model.taken = 10
    model.answering = asyncio.Barrier(2)

    ended = await perform(limited("branches", model_tokens=260))

    assert ended.status is run.RunStatus.SUCCESS
    assert stage.visits.count("asked") == 6
    assert max(model.most) == 2


async def test_without_a_limit_branches_do_not_wait(perform, limited, model, stage):
    model.answering = asyncio.Barrier(6)

    ended = await perform(limited("branches"))

    assert ended.status is run.RunStatus.SUCCESS


async def test_a_run_stopped_by_a_limit_goes_on_from_its_last_superstep(
    services, perform, limited, fake, stage
):
    stopped = await perform(limited("asking", model_tokens=250))
    before = tools.Used(models=stopped.usage)

    ended = await perform(limited("asking", model_tokens=400, used=before, thread_id=stopped.thread_id))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    assert ended.status is run.RunStatus.SUCCESS
    assert thread.values["trail"] == ["asked"] * 3
    assert stage.visits == ["asked"] * 3


async def test_a_run_stops_when_its_time_is_up(perform, limited):
    before = tools.Used(seconds=59.9)

    ended = await perform(limited("gated", wall_clock=60, used=before))

    assert (ended.status, ended.error.code) == (run.RunStatus.TIMEOUT, ErrorCode.LIMIT_SPENT)
    assert "60 seconds" in ended.error.message


@pytest.fixture
async def hasty(open_services, fake, start_worker):
    """Services that give a run a tenth of a second."""
    transport = httpx.ASGITransport(app=fake.app())
    services = await open_services(transport=transport, run_timeout=timedelta(milliseconds=100))
    await start_worker(services)
    return services


async def test_the_services_own_limit_of_time_may_come_first(hasty, limited, end_of):
    ended = await end_of(await hasty.queue.submit(limited("gated", wall_clock=60)))

    assert ended.error.code is ErrorCode.RUN_TIMEOUT


async def test_what_a_crashed_attempt_used_is_not_lost(services, limited, stage, query, end_of, start_worker):
    row = await services.queue.submit(limited("gated", model_tokens=1000))
    claim = await services.worker.leases.claim(row.run_id)
    pen = log.Pen(run_id=row.run_id, epoch=claim.epoch, seq=0)
    dying = asyncio.create_task(services.worker.executor.open(claim, pen).perform())
    await stage.reached.wait()
    for _ in range(1000):
        if await query("SELECT 1 FROM runs WHERE usage <> '[]'"):
            break
    dying.cancel()
    await asyncio.wait({dying})
    stage.go_on.set()

    await start_worker(services)
    ended = await end_of(row)

    assert ended.status is run.RunStatus.SUCCESS
    assert ended.usage == [usage.ModelUsage(model="measured", calls=1, output_tokens=100)]


async def test_a_takeover_does_not_begin_the_tokens_anew(
    services, limited, query, end_of, start_worker, stage
):
    row = await services.queue.submit(limited("asking", model_tokens=399))
    kept = [usage.ModelUsage(model="measured", calls=3, output_tokens=300)]
    claim = await services.worker.leases.claim(row.run_id)
    await services.worker.leases.keep_usage(claim, kept)

    await start_worker(services)
    ended = await end_of(row)

    assert ended.error.code is ErrorCode.LIMIT_SPENT
    assert (stage.visits, ended.usage) == ([], kept)
