import pytest

from agent_service import exceptions
from agent_service.engine import grants
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import GrantedModel

GRANTED = [
    GrantedModel(name="small", provider="openai", base_url="https://proxy.example", fallback="google:large"),
    GrantedModel(name="google:large", provider="google"),
    GrantedModel(name="new", provider="openai", use_responses_api=True),
]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("small", grants.Allowed(name="openai:small", base_url="https://proxy.example")),
        ("google:large", grants.Allowed(name="google:large")),
        ("new", grants.Allowed(name="openai:new", use_responses_api=True)),
    ],
)
def test_a_granted_model_is_asked_as_the_catalogue_says(named, expected):
    assert grants.allowed(named, GRANTED) == expected


@pytest.mark.parametrize("granted", [[], GRANTED], ids=["nothing", "others"])
def test_a_model_that_is_not_granted_fails_the_run(granted):
    with pytest.raises(exceptions.RunFailed) as caught:
        grants.allowed("gpt-4.1", granted)

    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def test_without_a_catalogue_any_model_may_be_asked():
    assert grants.allowed("gpt-4.1", None) == grants.Allowed(name="gpt-4.1")


@pytest.mark.parametrize(
    ("named", "other"), [("small", "google:large"), ("google:large", None), (None, None)]
)
def test_the_fallback_is_the_catalogues(named, other):
    assert grants.fallback(named, GRANTED) == other
