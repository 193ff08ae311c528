import pytest
from pydantic import SecretStr

from agent_service import exceptions, models
from agent_service.testing import model_server, scripts
from shared_schemas.problems import ErrorCode

PROVIDER = models.Provider(api_key=SecretStr("none"), base_url="http://127.0.0.1:9/v1", max_retries=0)


@pytest.fixture
def catalogue():
    return models.Catalogue(providers={"openai": PROVIDER})


@pytest.mark.parametrize("name", ["gpt-4.1", "openai:gpt-4.1"])
def test_a_model_is_opened_once_for_all_its_names(catalogue, name):
    assert catalogue.get(name) is catalogue.get("openai:gpt-4.1")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mystery", id="tells no provider"),
        pytest.param("nobody:model", id="unknown provider"),
        pytest.param("openai:gpt-4.1-mini", id="not allowed"),
    ],
)
def test_a_model_outside_the_catalogue_fails_the_run(name):
    catalogue = models.Catalogue(providers={"openai": PROVIDER}, allowed={"openai:gpt-4.1"})

    with pytest.raises(exceptions.RunFailed) as caught:
        catalogue.get(name)

    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def test_a_provider_without_key_says_which_variable_is_missing():
    with pytest.raises(exceptions.RunFailed, match="OPENAI_API_KEY"):
        models.Catalogue(providers={}).get("gpt-4.1")


async def test_usage_figures_arrive_in_streams():
    script = scripts.Script.model_validate({"rules": [{"answer": {"text": "Hello."}}]})
    async with model_server.serving(model_server.ModelServer(script=script)) as url:
        provider = models.Provider(api_key=SecretStr("none"), base_url=url)
        model = models.Catalogue(providers={"openai": provider}).get("gpt-4.1")
        usages = [chunk.usage_metadata async for chunk in model.astream("hello") if chunk.usage_metadata]

    assert len(usages) == 1


@pytest.mark.parametrize("kind", ["status", "cut"])
async def test_a_model_that_does_not_answer_fails_the_run(kind):
    script = scripts.Script.model_validate(
        {"rules": [{"answer": {"text": "Hello."}, "faults": [{"kind": kind}]}]}
    )
    async with model_server.serving(model_server.ModelServer(script=script)) as url:
        provider = models.Provider(api_key=SecretStr("none"), base_url=url, max_retries=0)
        model = models.Catalogue(providers={"openai": provider}).get("gpt-4.1")
        with pytest.raises(Exception) as caught:
            [chunk async for chunk in model.astream("hello")]

    assert models.failure(caught.value).code is ErrorCode.MODEL_FAILED


def test_other_errors_are_not_the_models():
    assert models.failure(ValueError("a bug")) is None


def test_a_model_with_a_longest_answer_is_opened_beside_the_one_without(catalogue):
    capped = catalogue.get("gpt-4.1", max_output=500)

    assert capped is catalogue.get("openai:gpt-4.1", max_output=500)
    assert (capped.max_tokens, catalogue.get("gpt-4.1").max_tokens) == (500, None)
