"""What holds for every provider's real client, whatever its wire format."""

import asyncio
from datetime import timedelta

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, SecretStr

from agent_service import exceptions, models
from agent_service.engine import throttling, usage
from agent_service.settings import Rate
from agent_service.testing import model_server, scripts
from shared_schemas.problems import ErrorCode
from tests import serving
from tests.agent_service import cancelling

LOOKUP = {
    "name": "lookup",
    "description": "Look up.",
    "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}},
}
HELLO = [SystemMessage("Be polite."), HumanMessage("hello")]
CANCELLED = 110
"""More than an HTTP library of theirs opens connections by default."""

HOW = pytest.mark.parametrize("how", ["whole", "streamed"])


class Verdict(BaseModel):
    """What was found."""

    score: int
    because: str


async def ask(model, messages, how):
    if how == "whole":
        return await model.ainvoke(messages)
    answer = None
    async for chunk in model.astream(messages):
        answer = chunk if answer is None else answer + chunk
    return answer


async def test_text_comes_whole_and_in_pieces(model):
    whole = await ask(model(), HELLO, "whole")
    pieces = [chunk.text async for chunk in model().astream(HELLO)]

    assert whole.text == "".join(pieces) == "Hello, this is a somewhat longer answer."
    assert len([piece for piece in pieces if piece]) > 1


async def test_all_pieces_of_a_message_have_its_id(model):
    pieces = [chunk async for chunk in model().astream(HELLO)]

    assert len({chunk.id for chunk in pieces}) == 1


async def test_the_earlier_turns_are_read(model):
    answer = await model().ainvoke([HumanMessage("hello"), AIMessage("Hi."), HumanMessage("and now?")])

    assert answer.text == "You are the second."


async def test_usage_and_the_models_name_are_told_once(model, name):
    whole, pieces = [await ask(model(), HELLO, how) for how in ("whole", "streamed")]

    assert whole.usage_metadata == pieces.usage_metadata
    assert whole.usage_metadata["input_tokens"] > 0
    assert whole.usage_metadata["output_tokens"] == 10
    assert whole.response_metadata["model_name"] == pieces.response_metadata["model_name"] == name


async def test_a_limit_of_a_provider_is_found_by_our_name_of_it(model, provider):
    throttle = throttling.Throttle(rates={provider: Rate(requests_per_minute=1)})
    counter = usage.UsageCounter()
    counter.gate = throttling.Gate(throttle=throttle, loop=asyncio.get_running_loop())

    with usage.counted(counter):
        await ask(model(), HELLO, "whole")
        second = asyncio.create_task(ask(model(), HELLO, "whole"))
        while not (throttle.waiting[provider] or second.done()):  # noqa: ASYNC110 - one of the two comes
            await asyncio.sleep(0)

    assert throttle.waiting[provider] == 1
    second.cancel()
    await asyncio.wait({second})


@HOW
async def test_a_tool_is_called_beside_some_words(model, how):
    answer = await ask(model().bind_tools([LOOKUP]), [HumanMessage("look up number 42")], how)

    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("lookup", {"id": 42})]
    assert answer.text == "I look."


@HOW
async def test_tools_are_called_side_by_side(model, how):
    answer = await ask(model().bind_tools([LOOKUP]), [HumanMessage("both: number 42")], how)

    assert [call["args"] for call in answer.tool_calls] == [{"id": 42}, {"id": 42}]
    assert len({call["id"] for call in answer.tool_calls}) == 2


@HOW
@pytest.mark.parametrize("said", ['{"a": ["blue"]}', '{"a": ["blue"]}\n\nA note.'], ids=["data", "noted"])
async def test_what_the_tools_answered_is_read(model, how, said):
    asked = [HumanMessage("both: number 42")]
    calls = await ask(model().bind_tools([LOOKUP]), asked, how)
    told = [ToolMessage(said, name="lookup", tool_call_id=call["id"]) for call in calls.tool_calls]

    answer = await ask(model().bind_tools([LOOKUP]), [*asked, calls, *told], how)

    assert answer.text == "It is blue."


@HOW
async def test_a_conversation_goes_on_with_any_other_client(model, other_format, how):
    asked = [HumanMessage("look up number 42")]
    call = await ask(model().bind_tools([LOOKUP]), asked, how)
    told = [ToolMessage('{"a": ["blue"]}', name="lookup", tool_call_id=one["id"]) for one in call.tool_calls]
    other = model(spoken=other_format).bind_tools([LOOKUP])

    answer = await ask(other, [*asked, call, *told], how)

    assert answer.text == "It is blue."


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_in_both_forms(model, method):
    structured = model().with_structured_output(Verdict, method=method)

    assert await structured.ainvoke([HumanMessage("judge")]) == Verdict(score=7, because="It holds.")


@HOW
@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        pytest.param({"kind": "status", "status": 429}, True, id="429"),
        pytest.param({"kind": "status", "status": 500}, True, id="500"),
        pytest.param({"kind": "status", "status": 529}, True, id="529"),
        pytest.param({"kind": "status", "status": 400}, False, id="400"),
        pytest.param({"kind": "status", "status": 401}, False, id="401"),
        pytest.param({"kind": "cut"}, True, id="cut"),
    ],
)
async def test_a_fault_fails_the_run_and_is_known_to_pass_or_not(model, server, how, fault, passes):
    server.set(model_server.Control(faults=[scripts.Fault.model_validate(fault)]))

    with pytest.raises(Exception) as caught:
        await ask(model(), HELLO, how)

    assert models.failure(caught.value).code is ErrorCode.MODEL_FAILED
    assert models.is_passing(caught.value) is passes


@HOW
async def test_an_answer_that_does_not_come_is_given_up(model, server, how):
    server.set(model_server.Control(faults=[scripts.Fault(kind="hang")]))

    with pytest.raises(Exception) as caught:
        await ask(model(timeout=0.3), HELLO, how)

    assert models.failure(caught.value).code is ErrorCode.MODEL_FAILED
    assert models.is_passing(caught.value)


@HOW
async def test_cancelled_calls_leave_their_connections_to_others(model, server, how):
    asked = model()
    server.set(model_server.Control(faults=[scripts.Fault(kind="hang")] * CANCELLED))
    async with asyncio.timeout(60):
        for number in range(CANCELLED):
            call = asyncio.create_task(ask(asked, HELLO, how))
            while len(server.requests) <= number:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)
            await cancelling.cancel_as_langgraph_does(call)

        answer = await ask(asked, HELLO, how)

    assert answer.text.startswith("Hello")


@HOW
async def test_the_client_asks_again_by_itself(model, server, how):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=429, retry_after=0.01)]))

    answer = await ask(model(max_retries=1), HELLO, how)

    assert answer.text.startswith("Hello")
    assert len(server.requests) == 2


async def test_no_more_retries_than_asked_for(model, server):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=500)] * 3))

    with pytest.raises(Exception, match="500"):
        await model(max_retries=0).ainvoke(HELLO)

    assert len(server.requests) == 1


async def test_the_pause_that_a_provider_asks_for_is_read(model, server):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=429, retry_after=7)]))

    with pytest.raises(Exception) as caught:
        await model().ainvoke(HELLO)

    assert models.asked_pause(caught.value) == timedelta(seconds=7)


@HOW
async def test_spoilt_arguments_are_never_a_good_call(model, server, how):
    server.set(model_server.Control(faults=[scripts.Fault(kind="malformed_arguments")]))

    answer = await ask(model().bind_tools([LOOKUP]), [HumanMessage("look up number 42")], how)

    assert [call["args"] for call in answer.tool_calls] in ([], [{}])


async def test_the_longest_answer_is_asked_for(model, server):
    await model(max_output=500).ainvoke(HELLO)

    (body,) = server.requests
    longest = (body, body.get("generationConfig", {}))
    assert 500 in [
        found.get(name)
        for found in longest
        for name in ("max_completion_tokens", "max_tokens", "maxOutputTokens", "max_output_tokens")
    ]


async def test_a_model_is_asked_only_where_the_operator_allows_it(provider, name, url, server):
    theirs = model_server.base_urls(url)[provider]
    reached = models.Provider(api_key=SecretStr("none"), base_url="http://127.0.0.1:9", max_retries=0)
    allowing = models.Catalogue(providers={provider: reached}, allowed_urls=[theirs])
    refusing = models.Catalogue(providers={provider: reached})

    answer = await allowing.get(name, base_url=theirs).ainvoke(HELLO)
    await allowing.aclose()
    with pytest.raises(exceptions.RunFailed, match="AGENT_MODEL_BASE_URLS"):
        refusing.get(name, base_url=theirs)

    assert answer.text.startswith("Hello")
    assert len(server.requests) == 1


def test_each_event_loop_has_connections_of_its_own(server, provider, name, format_):
    async def talk(url):
        reached = models.Provider(api_key=SecretStr("none"), base_url=url, max_retries=0)
        catalogue = models.Catalogue(providers={provider: reached})
        answer = await catalogue.get(name, **format_[1]).ainvoke(HELLO)
        await catalogue.aclose()
        return answer.text

    with serving.serving(server.app(), lifespan="off") as root:
        url = model_server.base_urls(root)[provider]
        told = [asyncio.run(talk(url)) for _ in range(2)]

    assert told == ["Hello, this is a somewhat longer answer."] * 2
