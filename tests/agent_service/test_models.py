import subprocess
import sys

import pytest
from pydantic import SecretStr

from agent_service import exceptions, models
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


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("gpt-4.1", "OPENAI_API_KEY"),
        ("claude-sonnet-4-6", "ANTHROPIC_API_KEY"),
        ("gemini-3-flash-preview", "GOOGLE_API_KEY"),
    ],
)
def test_a_provider_without_key_says_which_variable_is_missing(name, variable):
    with pytest.raises(exceptions.RunFailed, match=variable) as caught:
        models.Catalogue(providers={}).get(name)

    assert caught.value.code is ErrorCode.MODEL_WITHOUT_KEY


@pytest.mark.parametrize("chosen", ["openai", "anthropic", "google"])
def test_only_the_clients_of_the_providers_in_use_are_imported(chosen):
    code = (
        "import sys; from agent_service import bootstrap, models;"
        f"models.preload([{chosen!r}]);"
        "print([name for name in ('openai', 'anthropic', 'google.genai') if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == str([{"google": "google.genai"}.get(chosen, chosen)])


def test_other_errors_are_not_the_models():
    assert models.failure(ValueError("a bug")) is None


def test_a_model_with_a_longest_answer_is_opened_beside_the_one_without(catalogue):
    capped = catalogue.get("gpt-4.1", max_output=500)

    assert capped is catalogue.get("openai:gpt-4.1", max_output=500)
    assert (capped.max_tokens, catalogue.get("gpt-4.1").max_tokens) == (500, None)
