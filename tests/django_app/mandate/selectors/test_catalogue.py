from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, transaction

from mandate import conf, exceptions, models
from mandate.selectors import catalogue
from mandate.services import mandates
from shared_schemas.problems import ErrorCode
from shared_schemas.usage import Price

KEPT = {
    "gpt-a": {"provider": "openai", "input": "1", "output": "2", "fallback": "claude-b"},
    "claude-b": {"provider": "anthropic", "base_url": "https://proxy.example"},
    "gemini-c": {"provider": "google", "enabled": False},
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(settings):
    settings.MANDATE = {
        **settings.MANDATE,
        "MODELS": KEPT,
        "MODEL_PRICES": {"old": {"input": "3", "output": "4"}},
    }


def test_without_a_catalogue_any_model_is_granted():
    mandates.check_model("whatever")

    assert catalogue.granted("whatever") is None


@pytest.mark.parametrize("name", ["gpt-a", "claude-b"])
@pytest.mark.usefixtures("kept")
def test_a_model_of_the_catalogue_may_be_named(name):
    mandates.check_model(name)


@pytest.mark.parametrize("name", ["gpt-z", "gemini-c", "openai:gpt-a"])
@pytest.mark.usefixtures("kept")
def test_any_other_is_refused_with_the_names_there_are(name):
    with pytest.raises(exceptions.RequestRefused, match="In it: claude-b, gpt-a") as caught:
        mandates.check_model(name)

    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


@pytest.mark.usefixtures("kept")
def test_a_run_is_granted_its_model_and_that_ones_fallback():
    first, second = catalogue.granted("gpt-a")

    assert (first.name, first.provider, first.base_url, first.fallback) == (
        "gpt-a",
        "openai",
        None,
        "claude-b",
    )
    assert (second.name, second.base_url, second.fallback) == ("claude-b", "https://proxy.example", None)


@pytest.mark.usefixtures("kept")
def test_a_model_that_was_switched_off_meanwhile_is_not_granted():
    models.CatalogueModel.objects.create(name="gpt-a", provider="openai", enabled=False)

    assert catalogue.granted("gpt-a") == []


@pytest.mark.usefixtures("kept")
def test_a_row_of_the_admin_stands_before_the_settings():
    models.CatalogueModel.objects.create(
        name="gpt-a", provider="openai", input_price=5, output_price=6, base_url="https://other.example"
    )

    assert catalogue.granted("gpt-a")[0].base_url == "https://other.example"
    assert catalogue.prices()["gpt-a"] == Price(input=Decimal(5), output=Decimal(6))


@pytest.mark.usefixtures("kept")
def test_prices_come_from_both_settings():
    assert catalogue.prices() == {
        "old": Price(input=Decimal(3), output=Decimal(4)),
        "gpt-a": Price(input=Decimal(1), output=Decimal(2)),
    }


def test_a_row_has_both_prices_or_none():
    with pytest.raises(IntegrityError), transaction.atomic():
        models.CatalogueModel.objects.create(name="gpt-a", provider="openai", input_price=1)


def test_only_openais_models_have_a_responses_api():
    row = models.CatalogueModel(name="claude-b", provider="anthropic", use_responses_api=True)

    with pytest.raises(ValidationError, match="Only OpenAI's format"):
        row.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


@pytest.mark.parametrize("where", ["settings", "admin"])
def test_the_newer_format_is_granted_with_the_model(settings, where):
    told = {"provider": "openai", "use_responses_api": True}
    if where == "admin":
        models.CatalogueModel.objects.create(name="gpt-n", **told)
    else:
        settings.MANDATE = {**settings.MANDATE, "MODELS": {"gpt-n": told}}

    (granted,) = catalogue.granted("gpt-n")

    assert granted.use_responses_api


@pytest.mark.parametrize(
    "told",
    [
        {"provider": "nobody"},
        {},
        {"provider": "openai", "colour": "red"},
        {"provider": "openai", "input": "1"},
        {"provider": "openai", "input": "-1", "output": "2"},
        {"provider": "google", "use_responses_api": True},
    ],
    ids=["unknown provider", "no provider", "unknown key", "one price", "below nothing", "another's format"],
)
def test_a_wrong_entry_stops_the_start(settings, told):
    settings.MANDATE = {**settings.MANDATE, "MODELS": {"gpt-a": told}}

    with pytest.raises(ImproperlyConfigured, match="'gpt-a'"):
        conf.settings()
