"""The Python client's `client.threads.stream()`, as it comes."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from agent_service.api import protocol_streams

TRANSPORTS = ["sse", "websocket"]
QUESTION = {"messages": [{"role": "user", "content": "Count!"}]}


@pytest.fixture(params=TRANSPORTS)
def stream(request, client, token):
    """Return a function that opens a thread's stream over each transport."""

    def open_stream(assistant_id, thread_id=None):
        # Over a WebSocket the client sends only the stream's own headers.
        headers = {"Authorization": f"Bearer {token()}"} if request.param == "websocket" else None
        return client.threads.stream(
            thread_id, assistant_id=assistant_id, transport=request.param, headers=headers
        )

    return open_stream


def is_over(params):
    return not params["namespace"] and params["data"]["event"] == "completed"


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the client tells of it by nothing else
        await asyncio.sleep(0)


async def read(messages):
    """Return the words of each message; a message is filled while the next one is waited for."""
    return [[word async for word in message.text] for message in [item async for item in messages]]


async def test_the_output_is_what_the_run_left(stream):
    async with stream("echo") as thread:
        started = await thread.run.start(input={"text": "ada"})

        assert await thread.output == {"text": "ADA", "answers": []}
        assert uuid.UUID(started["run_id"])


async def test_values_come_step_by_step(stream):
    async with stream("echo") as thread:
        await thread.run.start(input={"text": "ada"})

        seen = [values.get("text") async for values in thread.values]

    assert seen[-1] == "ADA"


async def test_a_models_words_come_one_by_one(stream):
    async with stream("chatting") as thread:
        await thread.run.start(input=QUESTION)

        assert await read(thread.messages) == [["one ", "two ", "three"]]


async def test_a_message_tells_what_it_used(stream):
    async with stream("chatting") as thread:
        await thread.run.start(input=QUESTION)

        (message,) = [item async for item in thread.messages]

        assert (await message.output).usage_metadata["total_tokens"] == 7


async def test_messages_of_parallel_nodes_stay_apart(stream):
    async with stream("chatting_twice") as thread:
        await thread.run.start(input=QUESTION)
        await thread.output

        messages = await read(thread.messages)

    assert {"".join(words) for words in messages} == {"one two three", "four five six"}


async def test_tool_calls_come_with_input_and_output(stream):
    async with stream("agent") as thread:
        await thread.run.start(input=QUESTION)

        added, divided = [call async for call in thread.tool_calls]

        assert (added.name, added.input) == ("add", {"a": 1, "b": 2})
        assert (await added.output)["content"] == "3"
        with pytest.raises(RuntimeError, match="division by zero"):
            await divided.output


async def test_an_interrupt_is_answered(stream):
    async with stream("asking") as thread:
        await thread.run.start(input={"text": "Sure?"})
        async for _ in thread.values:
            pass
        (asked,) = thread.interrupts

        await thread.run.respond("yes")

        assert asked["value"] == {"question": "Sure?"}
        assert await thread.output == {"text": "SURE?", "answers": ["yes"]}


async def test_two_interrupts_are_answered_one_by_one(stream):
    async with stream("asking_both") as thread:
        await thread.run.start(input={"text": "Sure?"})
        async for _ in thread.values:
            pass
        await until(lambda: len(thread.interrupts) == 2)
        asked = list(thread.interrupts)

        for interrupt in asked:
            await thread.run.respond("yes", interrupt_id=interrupt["interrupt_id"])

        assert (await thread.output)["answers"] == ["yes", "yes"]


async def test_a_subgraph_has_messages_of_its_own(stream):
    async with stream("nested") as thread:
        await thread.run.start(input=QUESTION)

        (subgraph,) = [item async for item in thread.subgraphs]

        assert (subgraph.graph_name, subgraph.status) == ("inner", "completed")
        assert await read(subgraph.messages) == [["one ", "two ", "three"]]


async def test_an_interrupt_deep_in_subgraphs_is_answered(stream):
    async with stream("nested_asking") as thread:
        await thread.run.start(input={"text": "Sure?"})
        async for _ in thread.values:
            pass
        (asked,) = thread.interrupts

        await thread.run.respond("yes")

        assert [part.partition(":")[0] for part in asked["namespace"]] == ["inner", "inner"]
        assert (await thread.output)["answers"] == ["yes"]


async def test_a_failure_ends_the_output(stream):
    async with stream("failing") as thread:
        await thread.run.start(input={"text": "It broke."})

        with pytest.raises(RuntimeError, match=r"It broke\."):
            await thread.output


async def test_a_cancelled_run_ends_the_output(stream, client):
    async with stream("endless") as thread:
        started = await thread.run.start(input={"text": ""})
        async for event in thread.subscribe(["custom"]):
            assert event["params"]["data"] == {"payload": "waiting"}
            break

        await client.runs.cancel(thread.thread_id, started["run_id"])

        with pytest.raises(RuntimeError, match="cancelled"):
            await thread.output


async def test_what_a_node_writes_comes_on_its_channel(stream):
    async with stream("counting") as thread:
        await thread.run.start(input={"text": ""})

        told = [item["payload"]["number"] async for item in thread.extensions["progress"]]

    assert told == list(range(20))


async def test_every_channel_tells_something(stream):
    kinds = set()
    async with stream("nested") as thread:
        await thread.run.start(input=QUESTION)

        async for event in thread.events:
            kinds.add(event.get("method"))
            if event.get("method") == "lifecycle" and is_over(event["params"]):
                break

    assert kinds - {None} >= {"values", "updates", "messages", "lifecycle", "checkpoints", "tasks"}


async def test_a_second_run_has_an_output_of_its_own(stream):
    async with stream("echo") as first:
        await first.run.start(input={"text": "ada"})
        await first.output

    async with stream("echo", thread_id=first.thread_id) as second:
        await second.run.start(input={"text": "grace"})

        assert (await second.output)["text"] == "GRACE"


async def test_a_run_after_a_failed_one_has_an_output_of_its_own(stream, monkeypatch):
    # A run that comes later than this is told of the failure before it.
    monkeypatch.setattr(protocol_streams, "PATIENCE", timedelta(minutes=1))
    async with stream("failing") as first:
        await first.run.start(input={"text": "It broke."})
        with pytest.raises(RuntimeError):
            await first.output

    async with stream("echo", thread_id=first.thread_id) as second:
        await second.run.start(input={"text": "grace"})

        assert (await second.output)["text"] == "GRACE"


async def test_a_failure_is_told_to_who_comes_later(stream):
    async with stream("failing") as first:
        await first.run.start(input={"text": "It broke."})
        with pytest.raises(RuntimeError):
            await first.output

    async with stream("failing", thread_id=first.thread_id) as second:
        with pytest.raises(RuntimeError, match=r"It broke\."):
            await second.output


async def test_a_client_that_comes_later_sees_what_is_asked(stream):
    async with stream("asking") as first:
        await first.run.start(input={"text": "Sure?"})
        async for _ in first.values:
            pass

    async with stream("asking", thread_id=first.thread_id) as second:
        await until(lambda: second.interrupted)
        await second.run.respond("yes")

        assert (await second.output)["answers"] == ["yes"]
