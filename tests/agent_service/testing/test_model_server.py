import asyncio
import time

import httpx
import openai
import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from agent_service.testing import model_server, scripts

LOOKUP = {"name": "lookup", "description": "Look up.", "parameters": {"type": "object", "properties": {}}}


class Verdict(BaseModel):
    """What was found."""

    score: int


def rule(answer, **rest):
    return {"answer": answer, **rest}


RULES = [
    rule(
        {"text": "It is ${found}."},
        when={"answered": "lookup"},
        take={"found": {"tool": "lookup", "path": "a/0"}},
    ),
    rule(
        {"calls": [{"name": "lookup", "arguments": {"id": "${id}"}}] * 2},
        when={"tools": ["lookup"], "last": "look"},
        take={"id": {"pattern": r"number (\d+)"}},
    ),
    rule({"structured": {"name": "Verdict", "value": {"score": 7}}}, when={"wants": "Verdict"}),
    rule({"text": "Late."}, when={"last": "faulty"}, faults=[{"kind": "status", "status": 500}]),
    rule({"text": "You are the second."}, when={"turn": 2}),
    rule({"text": "Hello, this is a somewhat longer answer."}, when={"system": "polite", "last": "hello"}),
]


@pytest.fixture
def server():
    return model_server.ModelServer(script=scripts.Script.model_validate({"rules": RULES}))


@pytest.fixture
async def base_url(server):
    async with model_server.serving(server) as url:
        yield url


@pytest.fixture
def chat(base_url, connections):
    def make(fault=None, **options):
        headers = {} if fault is None else {model_server.FAULT_HEADER: fault.model_dump_json()}
        options = {"max_retries": 0, "timeout": 60, "stream_usage": True} | options
        return ChatOpenAI(
            model="gpt-4.1",
            api_key="none",
            base_url=base_url,
            default_headers=headers,
            http_async_client=connections,
            **options,
        )

    return make


HELLO = [SystemMessage("Be polite."), HumanMessage("hello")]


async def streamed(model, messages):
    answer = None
    async for chunk in model.astream(messages):
        answer = chunk if answer is None else answer + chunk
    return answer


async def test_an_answer_comes_whole_and_in_pieces(chat):
    whole = await chat().ainvoke(HELLO)
    pieces = await streamed(chat(), HELLO)

    assert whole.text == pieces.text == "Hello, this is a somewhat longer answer."
    assert whole.usage_metadata == pieces.usage_metadata
    assert whole.usage_metadata["input_tokens"] > 0


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_parallel_tool_calls_take_values_from_the_conversation(chat, how):
    model = chat().bind_tools([LOOKUP])
    messages = [HumanMessage("look up number 42")]

    answer = await (model.ainvoke(messages) if how == "whole" else streamed(model, messages))

    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("lookup", {"id": 42})] * 2
    assert len({call["id"] for call in answer.tool_calls}) == 2


async def test_a_tools_answer_is_used(chat):
    asked = [HumanMessage("look up number 42")]
    call = await chat().bind_tools([LOOKUP]).ainvoke(asked)
    told = [ToolMessage('{"a": ["blue"]}\n\nA note.', tool_call_id=item["id"]) for item in call.tool_calls]

    answer = await chat().ainvoke([*asked, call, *told])

    assert answer.text == "It is blue."


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_in_both_forms(chat, method):
    model = chat().with_structured_output(Verdict, method=method)

    assert await model.ainvoke([HumanMessage("judge")]) == Verdict(score=7)


async def test_the_turn_counts_the_models_answers(chat):
    answer = await chat().ainvoke([HumanMessage("hello"), AIMessage("Hi."), HumanMessage("and now?")])

    assert answer.text == "You are the second."


async def test_a_rules_faults_are_used_up(chat):
    answer = await chat(max_retries=1).ainvoke([HumanMessage("faulty")])

    assert answer.text == "Late."


async def test_a_rate_limit_is_retried_after_the_time_it_names(chat, server):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=429, retry_after=0.01)]))

    answer = await chat(max_retries=1).ainvoke(HELLO)

    assert answer.text.startswith("Hello")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(scripts.Fault(kind="status", status=429), ModelError, id="429"),
        pytest.param(scripts.Fault(kind="status", status=500), ModelError, id="500"),
        pytest.param(scripts.Fault(kind="hang"), ModelError, id="hang"),
        pytest.param(scripts.Fault(kind="cut"), (openai.OpenAIError, httpx.TransportError), id="cut"),
    ],
)
@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_a_fault_reaches_the_client(chat, fault, error, how):
    model = chat(fault, timeout=0.2)

    with pytest.raises(error):
        await (model.ainvoke(HELLO) if how == "whole" else streamed(model, HELLO))


async def test_malformed_arguments_are_invalid_tool_calls(chat):
    model = chat(scripts.Fault(kind="malformed_arguments")).bind_tools([LOOKUP])

    answer = await streamed(model, [HumanMessage("look up number 42")])

    assert answer.tool_calls == []
    assert len(answer.invalid_tool_calls) == 2


async def test_repeated_calls_have_ids_of_their_own(chat):
    model = chat(scripts.Fault(kind="repeated_calls")).bind_tools([LOOKUP])

    answer = await model.ainvoke([HumanMessage("look up number 42")])

    assert len({call["id"] for call in answer.tool_calls}) == 4


async def test_equal_questions_get_answers_with_different_ids(chat):
    first, second = await chat().ainvoke(HELLO), await chat().ainvoke(HELLO)

    assert first.text == second.text
    assert first.response_metadata["id"] != second.response_metadata["id"]


async def test_a_question_outside_the_script_is_a_bad_request(chat):
    with pytest.raises(openai.BadRequestError, match="no rule"):
        await chat().ainvoke([HumanMessage("what?")])


async def test_models_and_control_over_http(base_url, server):
    async with httpx.AsyncClient(base_url=base_url, timeout=60) as http:
        models = await http.get("/models")
        control = await http.post(base_url.removesuffix("/v1") + "/control", json={"latency": 0.01})

    assert [model["id"] for model in models.json()["data"]] == list(model_server.MODELS)
    assert control.status_code == 204
    assert server.control.latency == 0.01


@pytest.mark.parametrize("control", [{"latency": 0.05}, {"chunk_delay": 0.05}])
async def test_latency_delays_an_answer(chat, server, control):
    server.set(model_server.Control(**control))
    start = time.monotonic()

    await chat().ainvoke(HELLO)

    assert time.monotonic() - start >= 0.05


async def test_a_stream_that_is_under_way_is_sent_on_at_once(chat, server):
    server.set(model_server.Control(chunk_delay=600))
    answering = asyncio.create_task(streamed(chat(timeout=60), HELLO))
    while not server.asked:
        await asyncio.wait({answering}, timeout=0.01)

    server.set(model_server.Control())

    async with asyncio.timeout(60):
        assert (await answering).text
