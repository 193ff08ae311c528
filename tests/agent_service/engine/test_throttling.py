"""Calls of models wait for their provider's share, and can be cancelled while they do."""

import asyncio
from concurrent import futures
from datetime import timedelta

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from agent_service.engine import throttling, usage
from agent_service.settings import Rate

SHORT, LONG = timedelta(milliseconds=100), timedelta(hours=1)


class Model(GenericFakeChatModel):
    """A model of a provider whose answers say that they took 50 tokens."""

    def __init__(self):
        used = {"input_tokens": 49, "output_tokens": 1, "total_tokens": 50}
        super().__init__(messages=iter(AIMessage("yes", usage_metadata=used) for _ in range(100)))

    def _get_ls_params(self, stop=None, **kwargs):
        return {"ls_provider": "openai", "ls_model_type": "chat", "ls_model_name": "fake"}


@pytest.fixture
def counting():
    """Return a function that shows calls to a counter behind buckets."""

    def make(period=throttling.MINUTE, **rate):
        throttle = throttling.Throttle(rates={"openai": Rate(**rate)}, period=period)
        counter = usage.UsageCounter()
        counter.gate = throttling.Gate(throttle=throttle, loop=asyncio.get_running_loop())
        return counter, throttle

    return make


async def until_waiting(throttle):
    while not throttle.waiting["openai"]:  # noqa: ASYNC110 - a thread may be what waits
        await asyncio.sleep(0)


async def test_calls_beyond_the_rate_wait_and_are_made(counting):
    counter, throttle = counting(SHORT, requests_per_minute=2)

    with usage.counted(counter):
        answers = [await Model().ainvoke("hello") for _ in range(5)]

    assert [answer.content for answer in answers] == ["yes"] * 5
    assert throttle.waiting["openai"] == 0


async def test_a_call_that_waits_is_cancelled_at_once(counting):
    counter, throttle = counting(requests_per_minute=1)
    with usage.counted(counter):
        await Model().ainvoke("hello")
        waiting = asyncio.create_task(Model().ainvoke("hello"))
        await until_waiting(throttle)

        waiting.cancel()
        await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert counter.calls == 1


async def test_tokens_beyond_the_estimate_are_charged_to_the_next_call(counting):
    counter, throttle = counting(LONG, tokens_per_minute=50)
    with usage.counted(counter):
        await Model().ainvoke("hello")
        waiting = asyncio.create_task(Model().ainvoke("hello"))
        await until_waiting(throttle)
        waiting.cancel()
        await asyncio.wait({waiting})

    assert counter.calls == 1


async def test_what_earlier_calls_owe_is_not_forgiven_with_a_call_that_is_cancelled(counting):
    _, throttle = counting(tokens_per_minute=100)
    await throttle.admit("openai", tokens=100)
    throttle.settle("openai", estimated=100, used=150)
    waiting = asyncio.create_task(throttle.admit("openai", tokens=10))
    await until_waiting(throttle)

    waiting.cancel()
    await asyncio.wait({waiting})

    assert throttle._owed["openai"] == 50


async def test_another_provider_does_not_wait(counting):
    counter, _throttle = counting(requests_per_minute=1)
    other = GenericFakeChatModel(messages=iter([AIMessage("yes")] * 3))

    with usage.counted(counter):
        for _ in range(3):
            await other.ainvoke("hello")

    assert counter.calls == 3


async def test_a_call_in_a_thread_waits_too_and_is_sent_away_with_its_run(counting):
    counter, throttle = counting(requests_per_minute=1)
    with usage.counted(counter):
        await asyncio.to_thread(Model().invoke, "hello")
        waiting = asyncio.create_task(asyncio.to_thread(Model().invoke, "hello"))
        await until_waiting(throttle)

    with pytest.raises((futures.CancelledError, asyncio.CancelledError)):
        await waiting
    assert counter.calls == 1


async def test_a_call_on_the_event_loop_itself_stops_nobody(counting):
    counter, _throttle = counting(requests_per_minute=1)

    with usage.counted(counter):
        for _ in range(3):
            Model().invoke("hello")

    assert counter.calls == 3
