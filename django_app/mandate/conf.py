"""The `MANDATE` setting, typed; read again whenever a test overrides it."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from shared_schemas import crashing, keys
from shared_schemas.usage import Price

_HINT = "`python -m mandate.keys` makes a key pair and says which line goes where."


PROVIDERS = ("openai", "anthropic", "google")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of the catalogue."""

    provider: str
    price: Price | None = None
    base_url: str = ""
    """Where it is asked instead of at its provider; the agent service must allow the address."""

    use_responses_api: bool = False
    """Of OpenAI's two formats the newer one is spoken."""

    fallback: str = ""
    """Another model of the catalogue, for what this one cannot do."""

    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is a key of `MANDATE`, in capitals."""

    signing_key: keys.SigningKey
    """This side's private key, from `SIGNING_KEY`."""

    trusted_keys: keys.TrustedKeys
    """The agent service's public keys, from the list `TRUSTED_KEYS`."""

    agent_url: str
    """Base address of the agent service."""

    run_token_lifetime: timedelta = timedelta(minutes=15)
    approval_lifetime: timedelta = timedelta(days=3)
    """How long a person has to decide, where the tool does not say."""

    approval_warning: timedelta = timedelta(hours=4)
    """How long before that people are warned; at the latest when half of the time is over."""

    ledger_retention: timedelta = timedelta(days=30)
    """How long runs and their ledger are kept after their end."""

    checkpoint_retention: timedelta | None = None
    """When a thread of a graph inside Django has rested for so long, it is deleted; none is, without."""

    read_result_bytes: int = 64 * 1024
    """A result is cut to this: a reading tool's that is larger, a writing tool's above `RESULT_BYTES`."""

    result_bytes: int = 256 * 1024
    """A writing tool's result above this is kept whole beside its answer, which says where."""

    largest_result_bytes: int = 8 * 1024 * 1024
    """A writing tool's result above this is not kept: the call fails, and nothing is changed."""

    lock_timeout: timedelta = timedelta(seconds=2)
    """How long a call waits for the same key in another connection."""

    research_agent: str = "research"
    """The agent that answers the short form `{"query": ...}`."""

    reconcile_after: timedelta = timedelta(seconds=30)
    """A run whose webhook is late is pulled after this."""

    delivery_attempts: int = 200
    """How often a message is tried before a person has to look; with the back-off, for about 40 minutes."""

    on_message: str = ""
    """Dotted path of a function to call after the commit of whatever left messages to deliver: it has a task
    queue of the project's own call `mandate.services.dispatcher.run_due`."""

    crash_points: str = ""
    """Where this process dies, for tests of what it leaves behind: `call.after_effect:3`."""

    allow_crash_points: bool = False
    """Whether this project is one of tests. `CRASH_POINTS` alone stops the start."""

    model_prices: dict[str, Price] = field(default_factory=dict)
    """By model name: `{"input": "0.25", "output": "2.00"}` per million tokens."""

    models: dict[str, ModelEntry] = field(default_factory=dict)
    """The catalogue: what runs may name. The admin's rows stand before these."""


@cache
def settings() -> Settings:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: a key is missing, unknown or not what it should be.
    """
    given: dict[str, Any] = getattr(django_settings, "MANDATE", {})
    known = {item.name.upper() for item in fields(Settings)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(f"MANDATE has unknown keys {unknown}; known are {sorted(known)}.")
    for required in ("SIGNING_KEY", "TRUSTED_KEYS", "AGENT_URL"):
        if not given.get(required):
            raise ImproperlyConfigured(f"MANDATE[{required!r}] is not set. {_HINT}")
    values = {name.lower(): value for name, value in given.items()}
    try:
        values["signing_key"] = keys.parse_signing(given["SIGNING_KEY"])
        values["trusted_keys"] = keys.parse_trusted(given["TRUSTED_KEYS"])
    except keys.InvalidKeyError as error:
        raise ImproperlyConfigured(f"A key in MANDATE is wrong: {error} {_HINT}") from None
    values["model_prices"] = {
        model: Price(input=Decimal(price["input"]), output=Decimal(price["output"]))
        for model, price in given.get("MODEL_PRICES", {}).items()
    }
    values["models"] = {name: _model(name, told) for name, told in given.get("MODELS", {}).items()}
    _check_crash_points(given)
    return Settings(**values)


def _model(name: str, told: dict[str, Any]) -> ModelEntry:
    """Read `{"provider": "openai", "input": "0.25", "output": "2.00", "base_url": ..., "fallback": ...}`."""
    rest = {key: value for key, value in told.items() if key not in {"input", "output"}}
    try:
        price = Price(input=told["input"], output=told["output"]) if "input" in told else None
        entry = ModelEntry(**rest, price=price)
    except (KeyError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"MANDATE['MODELS'][{name!r}] is wrong: {error}") from None
    if entry.provider not in PROVIDERS:
        raise ImproperlyConfigured(
            f"MANDATE['MODELS'][{name!r}] names the provider {entry.provider!r}; there are {PROVIDERS}."
        )
    if entry.use_responses_api and entry.provider != "openai":
        raise ImproperlyConfigured(
            f"MANDATE['MODELS'][{name!r}] asks for a Responses API, which {entry.provider!r} does not have."
        )
    return entry


def _check_crash_points(given: dict[str, Any]) -> None:
    named = given.get("CRASH_POINTS", "")
    if named and not given.get("ALLOW_CRASH_POINTS"):
        raise ImproperlyConfigured(
            "MANDATE['CRASH_POINTS'] is for tests: it needs 'ALLOW_CRASH_POINTS': True."
        )
    try:
        crashing.check(named)
    except crashing.BadPointsError as error:
        raise ImproperlyConfigured(f"MANDATE['CRASH_POINTS'] is wrong: {error}") from None


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MANDATE":
        settings.cache_clear()


setting_changed.connect(_forget)
