"""Runs whose model answers over real HTTP: late, after failures, in pieces, or never."""

import asyncio
from datetime import timedelta

import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agent_service.engine import run
from agent_service.testing import model_server, scripts

SCRIPT = scripts.Script.model_validate({"rules": [{"answer": {"text": "Three words here."}}]})


@pytest.fixture
def server():
    return model_server.ModelServer(script=SCRIPT)


@pytest.fixture
async def base_url(server):
    async with model_server.serving(server) as url:
        yield url


@pytest.fixture
async def services(open_services):
    return await open_services(retry_delay=timedelta(milliseconds=10))


@pytest.fixture
def graphs(graphs, stage, base_url, connections):
    def asking(name, *, streamed):
        async def call(state):
            model = ChatOpenAI(
                model=name,
                base_url=base_url,
                api_key=SecretStr("none"),
                http_async_client=connections,
                max_retries=0,
                streaming=streamed,
                stream_usage=True,
            )
            stage.reached.set()
            answer = await model.ainvoke([HumanMessage("hello")])
            return {"trail": [answer.text]}

        return name, call

    mini, large = asking("gpt-4.1-mini", streamed=False), asking("gpt-4.1", streamed=True)
    return graphs | {"calling": stage.chain(mini, large)}


@pytest.mark.parametrize("status", [429, 500])
async def test_a_call_that_fails_first_is_made_again_and_counted_once(
    services, worker, submission, end_of, server, status
):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=status)]))

    ended = await end_of(await services.queue.submit(submission("calling")))

    thread = await services.repository.thread(ended.thread_id, owner=ended.owner)
    used = {usage.model: usage for usage in ended.usage}
    assert (ended.status, ended.attempt) == (run.RunStatus.SUCCESS, 2)
    assert thread.values["trail"] == ["Three words here."] * 2
    assert len(server.requests) == 3
    assert used.keys() == {"gpt-4.1-mini", "gpt-4.1"}
    # What is streamed counts as what comes whole.
    assert used["gpt-4.1"].output_tokens == used["gpt-4.1-mini"].output_tokens > 0
    assert used["gpt-4.1"].input_tokens == used["gpt-4.1-mini"].input_tokens > 0


async def test_a_run_is_cancelled_in_the_middle_of_a_call_that_never_ends(
    services, worker, submission, end_of, server, stage
):
    server.set(model_server.Control(faults=[scripts.Fault(kind="hang")]))
    row = await services.queue.submit(submission("calling"))
    await stage.reached.wait()
    while not server.requests:
        await services.check()

    await services.queue.cancel(row.run_id, thread_id=row.thread_id, owner=row.owner)
    async with asyncio.timeout(30):
        ended = await end_of(row)

    assert ended.status is run.RunStatus.INTERRUPTED
    assert len(server.requests) == 1
