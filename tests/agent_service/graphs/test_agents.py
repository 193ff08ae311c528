"""A step's one correction, with every provider and by both ways to structured output."""

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel, Field, SecretStr

from agent_service import exceptions, models
from agent_service.graphs import agents
from agent_service.testing import model_server, scripts
from shared_schemas.problems import ErrorCode

MODELS = {
    "native-openai": "openai:gpt-4.1",
    "native-responses": "openai:gpt-4.1",
    "native-anthropic": "anthropic:claude-sonnet-4-6",
    "native-google": "google:gemini-3-flash-preview",
    "tool-openai": "openai:gpt-3.5-turbo",
    "tool-responses": "openai:gpt-3.5-turbo",
    "tool-anthropic": "anthropic:claude-3-haiku-20240307",
    "tool-google": "google:gemma-3-27b-it",
}
SCRIPT = {
    "rules": [
        {"when": {"wants": "Verdict"}, "answer": {"structured": {"name": "Verdict", "value": {"score": 7}}}},
        {"when": {"tools": ["keep"]}, "answer": {"calls": [{"name": "keep", "arguments": {"score": 7}}]}},
    ]
}
WRONG = {
    "prose": {"answer": {"text": "Sure! I would say seven."}},
    "empty": {"answer": {}},
    "html": {"answer": {"text": "<script>alert(1)</script>"}},
    "wrong schema": {"answer": {"structured": {"name": "Verdict", "value": {"score": "<b>high</b>"}}}},
}


class Verdict(BaseModel):
    """What was found."""

    score: int = Field(ge=0, le=10, description="From nothing to all.")


@tool(response_format="content_and_artifact", return_direct=True)
def keep(score: int) -> tuple[str, dict]:
    """Keep a score."""
    return "Kept.", {"result": score}


@pytest.fixture
def server():
    return model_server.ModelServer(script=scripts.Script.model_validate(SCRIPT))


@pytest.fixture
async def catalogue(server):
    async with model_server.serving(server) as url:
        opened = models.Catalogue(
            providers={
                name: models.Provider(api_key=SecretStr("none"), base_url=base_url, max_retries=0)
                for name, base_url in model_server.base_urls(url).items()
            }
        )
        yield opened
        await opened.aclose()


@pytest.fixture(params=sorted(MODELS))
def model(request, catalogue):
    return catalogue.get(MODELS[request.param], use_responses_api=request.param.endswith("responses"))


def spoil(server, answer, times):
    fault = scripts.Fault.model_validate({"kind": "answer"} | answer)
    server.set(model_server.Control(faults=[fault] * times))


async def judge(agent):
    return await agent.ainvoke({"messages": [{"role": "user", "content": "judge"}]})


async def test_data_comes_as_the_provider_offers_it(model, server, request):
    answer = await judge(agents.make(model, name="judge", answer=Verdict))

    (body,) = server.requests
    assert answer["structured_response"] == Verdict(score=7)
    assert bool(body.get("tools")) is request.node.callspec.id.startswith("tool-")


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
async def test_data_of_the_wrong_form_is_corrected_once(model, server, answer):
    spoil(server, answer, 1)

    state = await judge(agents.make(model, name="judge", answer=Verdict))

    assert state["structured_response"] == Verdict(score=7)
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
async def test_data_that_stays_wrong_fails_the_run(model, server, answer):
    spoil(server, answer, 9)

    with pytest.raises(Exception) as caught:
        await judge(agents.make(model, name="judge", answer=Verdict))

    known = caught.value if isinstance(caught.value, exceptions.RunFailed) else models.failure(caught.value)
    assert known.code is ErrorCode.MODEL_FAILED
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", ["prose", "empty", "html"])
async def test_a_call_that_is_not_made_is_asked_for_once(model, server, answer):
    spoil(server, WRONG[answer], 1)

    state = await judge(agents.make(model, [keep], name="keeper"))

    assert agents.called(state["messages"], "keep") == ({"score": 7}, 7)
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", ["prose", "empty", "html"])
async def test_a_call_that_is_never_made_fails_the_run(model, server, answer):
    spoil(server, WRONG[answer], 9)

    with pytest.raises(exceptions.RunFailed) as caught:
        await judge(agents.make(model, [keep], name="keeper"))

    assert caught.value.code is ErrorCode.MODEL_FAILED
    assert len(server.requests) == 2


async def test_the_fallback_does_what_the_first_model_cannot(catalogue, server):
    server.set(model_server.Control(faults=[scripts.Fault(kind="status", status=500)]))
    first, second = catalogue.get("gpt-4.1"), catalogue.get("claude-sonnet-4-6")

    state = await judge(agents.make(first, name="judge", answer=Verdict, fallback=second))

    assert state["structured_response"] == Verdict(score=7)
    assert [body["model"] for body in server.requests] == ["gpt-4.1", "claude-sonnet-4-6"]
