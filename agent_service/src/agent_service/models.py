"""Chat models by name; one client for each, kept and shared by all runs."""

import importlib
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Protocol, runtime_checkable

from langchain.agents.structured_output import StructuredOutputError
from langchain_core.exceptions import ModelError
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from agent_service import exceptions
from shared_schemas.problems import ErrorCode

OPENAI, ANTHROPIC, GOOGLE = PROVIDERS = ("openai", "anthropic", "google")

_PREFIXES = {
    "gpt-": OPENAI,
    "o1": OPENAI,
    "o3": OPENAI,
    "o4": OPENAI,
    "chatgpt": OPENAI,
    "claude-": ANTHROPIC,
    "gemini-": GOOGLE,
}
"""How a bare name tells its provider."""

_BY_LANGCHAINS_NAME = {"google_genai": GOOGLE}
"""Providers that LangChain's clients call otherwise."""


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How one provider is reached."""

    api_key: SecretStr
    base_url: str | None = None
    max_retries: int = 2
    """Of a call that the provider did not answer, or answered with 408, 409, 429 or 5xx."""

    timeout: float = 120
    """Seconds for one attempt."""


@dataclass(slots=True, kw_only=True)
class Catalogue:
    """The models that runs may name."""

    providers: Mapping[str, Provider]
    allowed: Collection[str] | None = None
    """Full names, `provider:model`; any model of a configured provider by default."""

    allowed_urls: Collection[str] = ()
    """Addresses that a model may be asked at instead of its provider's: the key is sent there."""

    opened: dict[tuple[str, str | None, int | None, bool], BaseChatModel] = field(
        default_factory=dict, init=False
    )

    def get(
        self,
        name: str,
        *,
        base_url: str | None = None,
        max_output: int | None = None,
        use_responses_api: bool = False,
    ) -> BaseChatModel:
        """Return the chat model of a name, `provider:model` or one that tells its provider.

        It is asked at `base_url`, and its answers have `max_output` tokens at most, where that is given.
        With `use_responses_api` it is asked in the newer of OpenAI's two formats.

        Raises:
            RunFailed: UNKNOWN_MODEL, there is no such model here, or it may not be asked there; MODEL_WITHOUT_KEY.
        """
        key = full(name), base_url, max_output, use_responses_api
        if key not in self.opened:
            self.opened[key] = self._open(*key)
        return self.opened[key]

    def has_key(self, name: str) -> bool:
        """Say whether the provider of a model has a key here.

        Raises:
            RunFailed: a bare name does not tell its provider.
        """
        return full(name).partition(":")[0] in self.providers

    async def aclose(self) -> None:
        """Close the connections of all clients."""
        for client in self.opened.values():
            if isinstance(client, _Closable):
                await client.aclose()

    def _open(
        self,
        full_name: str,
        base_url: str | None,
        max_output: int | None,
        use_responses_api: bool,  # noqa: FBT001 - a part of the key
    ) -> BaseChatModel:
        provider, _, model = full_name.partition(":")
        if self.allowed is not None and full_name not in self.allowed:
            raise _unknown(full_name, "it is not among the models that are allowed here")
        if provider not in PROVIDERS:
            raise _unknown(full_name, f"no provider {provider!r} is known here")
        if provider not in self.providers:
            raise exceptions.RunFailed(
                ErrorCode.MODEL_WITHOUT_KEY,
                f"Model {full_name!r} cannot be used: provider {provider!r} has no key here; "
                f"set {provider.upper()}_API_KEY.",
            )
        if base_url is not None and base_url.rstrip("/") not in self.allowed_urls:
            raise _unknown(full_name, f"AGENT_MODEL_BASE_URLS does not name {base_url!r}")
        if use_responses_api and provider != OPENAI:
            raise _unknown(full_name, f"provider {provider!r} has no Responses API")
        reached = self.providers[provider]
        client: BaseChatModel = _module(provider).open_model(
            model,
            api_key=reached.api_key,
            base_url=base_url or reached.base_url,
            max_retries=reached.max_retries,
            timeout=reached.timeout,
            max_output=max_output,
            **({"use_responses_api": True} if use_responses_api else {}),
        )
        return client


def preload(providers: Collection[str]) -> None:
    """Import at start the clients of these providers, and what they would import at their first answers.

    In the middle of a run the event loop would stand still for it, for seconds.
    """
    for name in providers:
        _module(name).preload()


def full(name: str) -> str:
    """Return `provider:model` for a name.

    Raises:
        RunFailed: a bare name does not tell its provider.
    """
    if ":" in name:
        return name
    for prefix, provider in _PREFIXES.items():
        if name.startswith(prefix):
            return f"{provider}:{name}"
    raise _unknown(name, "the name does not tell its provider; write 'provider:model'")


def provider_named(langchains_name: str) -> str:
    """Return our name of a provider, by which its key and its limits are given, for the one that a client tells."""
    return _BY_LANGCHAINS_NAME.get(langchains_name, langchains_name)


def is_worth_asking_again(error: Exception) -> bool:
    """Say whether a model may answer as asked next time, after an error that its client does not retry itself."""
    is_retried_by_client = isinstance(error, ModelError)
    return failure(error) is not None and not is_retried_by_client


def is_passing(error: Exception) -> bool:
    """Say whether the provider was away, in trouble or in demand, and may not be so a little later."""
    if any(module.is_final(error) for module in _imported()):
        return False
    if isinstance(error, ModelError):
        return error.is_retryable
    return any(isinstance(error, module.PASSING) for module in _imported())


def asked_pause(error: Exception) -> timedelta | None:
    """Return how long the provider wants to be left alone."""
    for told in (error, error.__cause__):
        headers = getattr(getattr(told, "response", None), "headers", {})
        try:
            return timedelta(seconds=float(headers["retry-after"]))
        except (KeyError, ValueError, OverflowError):
            continue
    return next((pause for module in _imported() if (pause := module.pause(error))), None)


def failure(error: Exception) -> exceptions.RunFailed | None:
    """Return how a run fails when a model did not answer, or not in the form asked for; else nothing."""
    if not isinstance(error, ModelError | StructuredOutputError) and not any(
        isinstance(error, module.FAILURES) for module in _imported()
    ):
        return None
    return exceptions.RunFailed(
        ErrorCode.MODEL_FAILED, f"The model did not answer as asked: {type(error).__name__}."
    )


def _module(provider: str) -> ModuleType:
    return importlib.import_module(f"agent_service.providers.{provider}")


def _imported() -> Iterator[ModuleType]:
    """Yield the modules of the providers in use: what is not imported has raised nothing."""
    names = (f"agent_service.providers.{provider}" for provider in PROVIDERS)
    return (sys.modules[name] for name in names if name in sys.modules)


def _unknown(name: str, reason: str) -> exceptions.RunFailed:
    return exceptions.RunFailed(ErrorCode.UNKNOWN_MODEL, f"Model {name!r} cannot be used: {reason}.")
