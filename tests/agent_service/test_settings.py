import os
from datetime import timedelta
from pathlib import Path

import pytest

from agent_service import exceptions, settings
from shared_schemas import keys

SIGNING_KEY = keys.generate()
DJANGO_KEYS = [keys.parse_signing(keys.generate()).public_text() for _ in range(2)]

COMPLETE = {
    "AGENT_DATABASE_URL": "postgresql://agent:hidden@/agents?host=/run/postgres",
    "AGENT_SIGNING_KEY": SIGNING_KEY,
    "AGENT_TRUSTED_KEYS": DJANGO_KEYS[0],
    "AGENT_DJANGO_URL": "http://127.0.0.1:8000/",
}


@pytest.fixture
def environment():
    """Return a function that sets the service's variables, and no others."""
    before = dict(os.environ)

    def fill(**variables):
        for name in [name for name in os.environ if name.startswith(("AGENT_", "OPENAI_"))]:
            del os.environ[name]
        os.environ.update(variables)

    yield fill
    os.environ.clear()
    os.environ.update(before)


def test_a_complete_environment_is_read(environment):
    environment(**COMPLETE, AGENT_GRAPHS="graphs/langgraph.json", AGENT_PORT="9000", OPENAI_API_KEY="sk-1")

    read = settings.load()

    assert read.signing_key.kid == keys.parse_signing(SIGNING_KEY).kid
    assert read.django_url == "http://127.0.0.1:8000"
    assert read.graphs == Path("graphs/langgraph.json")
    assert read.port == 9000
    assert read.openai_api_key.get_secret_value() == "sk-1"


def test_an_empty_variable_is_one_that_is_not_set(environment):
    environment(**COMPLETE, AGENT_GRAPHS="", OPENAI_BASE_URL="")

    read = settings.load()

    assert (read.graphs, read.openai_base_url) == (None, None)


@pytest.mark.parametrize("name", COMPLETE)
def test_the_service_does_not_start_without(environment, name):
    environment(**{other: value for other, value in COMPLETE.items() if other != name})

    with pytest.raises(exceptions.ConfigurationError, match=name):
        settings.load()


@pytest.mark.parametrize("name", ["AGENT_SIGNING_KEY", "AGENT_TRUSTED_KEYS"])
def test_a_missing_key_names_the_command_that_makes_it(environment, name):
    environment(**{other: value for other, value in COMPLETE.items() if other != name})

    with pytest.raises(exceptions.ConfigurationError, match="agent-service keys"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_SIGNING_KEY", "mandate_sk_notakey"),
        ("AGENT_TRUSTED_KEYS", " , "),
        ("AGENT_DJANGO_URL", "127.0.0.1:8000"),
        ("AGENT_PORT", "70000"),
        ("AGENT_RUN_TIMEOUT", "0"),
        ("AGENT_RUN_TIMEOUT", "soon"),
        ("AGENT_POOL_MAX_SIZE", "many"),
        ("AGENT_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not_told(environment, name, value):
    environment(**COMPLETE | {name: value})

    with pytest.raises(exceptions.ConfigurationError, match=name) as refusal:
        settings.load()

    assert value.strip(" ,") == "" or value not in str(refusal.value)


def test_two_keys_are_trusted_while_one_is_being_changed(environment):
    environment(**COMPLETE | {"AGENT_TRUSTED_KEYS": ", ".join(DJANGO_KEYS)})

    read = settings.load()

    assert len(read.trusted_keys) == 2


@pytest.mark.parametrize(("text", "seconds"), [("2.5", 2.5), ("90", 90), ("PT2M", 120)])
def test_a_duration_is_in_seconds_or_iso_8601(environment, text, seconds):
    environment(**COMPLETE, AGENT_RUN_TIMEOUT=text)

    read = settings.load()

    assert read.run_timeout == timedelta(seconds=seconds)


def test_webhooks_go_to_django_alone_unless_told_otherwise(environment):
    environment(**COMPLETE)

    read = settings.load()

    assert read.allowed_webhook_urls == ("http://127.0.0.1:8000/api/agents/webhooks/",)


def test_the_named_webhook_addresses_are_the_only_ones(environment):
    environment(**COMPLETE, AGENT_WEBHOOK_URLS="https://a.example/hook, https://b.example/hook")

    read = settings.load()

    assert read.allowed_webhook_urls == ("https://a.example/hook", "https://b.example/hook")


def test_no_secret_is_shown(environment):
    environment(**COMPLETE, OPENAI_API_KEY="sk-hidden")

    shown = repr(settings.load())

    assert SIGNING_KEY not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize("name", settings.Settings.model_fields)
def test_every_variable_is_in_the_readme(name):
    readme = Path(__file__).parents[2].joinpath("agent_service", "README.md").read_text()

    alias = settings.Settings.model_fields[name].validation_alias

    assert f"`{alias or f'AGENT_{name.upper()}'}`" in readme


@pytest.mark.parametrize(
    "variable", [{"AGENT_CRASH_POINTS": "worker.after_claim:1"}, {"AGENT_HAND_ON_STEPS": "true"}]
)
def test_what_is_for_tests_is_refused_in_production(environment, variable):
    environment(**COMPLETE, **variable)

    with pytest.raises(exceptions.ConfigurationError, match="AGENT_ENVIRONMENT=test"):
        settings.load()


def test_crash_points_are_taken_in_tests(environment):
    environment(**COMPLETE, AGENT_ENVIRONMENT="test", AGENT_CRASH_POINTS="worker.after_claim:1")

    assert settings.load().crash_points == "worker.after_claim:1"


def test_crash_points_that_cannot_be_read_stop_the_start(environment):
    environment(**COMPLETE, AGENT_ENVIRONMENT="test", AGENT_CRASH_POINTS="worker.after_claim")

    with pytest.raises(exceptions.ConfigurationError, match="AGENT_CRASH_POINTS"):
        settings.load()
