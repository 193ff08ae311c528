"""Chat models by name; one client for each, kept and shared by all runs."""

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

from langchain.agents.structured_output import StructuredOutputError
from langchain_core.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, StreamChunkTimeoutError
from openai import APIConnectionError, APIStatusError, InternalServerError, OpenAIError, RateLimitError
from pydantic import SecretStr

from agent_service import exceptions
from shared_schemas.problems import ErrorCode

OPENAI = "openai"

_PREFIXES = {"gpt-": OPENAI, "o1": OPENAI, "o3": OPENAI, "o4": OPENAI, "chatgpt": OPENAI}
"""How a bare name tells its provider."""

_PASSING = (
    ModelAPIError,
    ModelConnectionError,
    ModelRateLimitError,
    ModelTimeoutError,
    StreamChunkTimeoutError,
    APIConnectionError,
    InternalServerError,
    RateLimitError,
)
_OUT_OF_MONEY = "insufficient_quota"
"""OpenAI says so with the status of one that is asked too often."""


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

    providers: dict[str, Provider]
    allowed: Collection[str] | None = None
    """Full names, `provider:model`; any model of a configured provider by default."""

    opened: dict[tuple[str, int | None], BaseChatModel] = field(default_factory=dict, init=False)

    def get(self, name: str, *, max_output: int | None = None) -> BaseChatModel:
        """Return the chat model of a name, `provider:model` or one that tells its provider.

        Its answers have `max_output` tokens at most, where that is given.

        Raises:
            RunFailed: there is no such model here.
        """
        key = full(name), max_output
        if key not in self.opened:
            self.opened[key] = self._open(*key)
        return self.opened[key]

    def _open(self, full_name: str, max_output: int | None) -> BaseChatModel:
        provider, _, model = full_name.partition(":")
        if self.allowed is not None and full_name not in self.allowed:
            raise _unknown(full_name, "it is not among the models that are allowed here")
        if provider not in _OPENERS:
            raise _unknown(full_name, f"no provider {provider!r} is known here")
        if provider not in self.providers:
            raise _unknown(
                full_name, f"provider {provider!r} has no key here; set {provider.upper()}_API_KEY"
            )
        return _OPENERS[provider](model, self.providers[provider], max_output)


def preload() -> None:
    """Import at start what OpenAI's client imports at its first structured answer.

    In the middle of a run the event loop would stand still for it, for a second or more.
    """
    importlib.import_module("openai.resources.beta.beta")


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


def is_worth_asking_again(error: Exception) -> bool:
    """Say whether a model may answer as asked next time, after an error that its client does not retry itself."""
    is_retried_by_client = isinstance(error, ModelError)
    return failure(error) is not None and not is_retried_by_client


def is_passing(error: Exception) -> bool:
    """Say whether the provider was away, in trouble or in demand, and may not be so a little later."""
    return isinstance(error, _PASSING) and getattr(error, "code", None) != _OUT_OF_MONEY


def asked_pause(error: Exception) -> timedelta | None:
    """Return how long the provider wants to be left alone."""
    headers = error.response.headers if isinstance(error, APIStatusError) else {}
    try:
        return timedelta(seconds=float(headers["retry-after"]))
    except (KeyError, ValueError, OverflowError):
        return None


def failure(error: Exception) -> exceptions.RunFailed | None:
    """Return how a run fails when a model did not answer, or not in the form asked for; else nothing."""
    if not isinstance(error, ModelError | OpenAIError | StreamChunkTimeoutError | StructuredOutputError):
        return None
    return exceptions.RunFailed(
        ErrorCode.MODEL_FAILED, f"The model did not answer as asked: {type(error).__name__}."
    )


def _open_openai(model: str, provider: Provider, max_output: int | None) -> BaseChatModel:
    return ChatOpenAI(
        model=model,
        max_completion_tokens=max_output,
        api_key=provider.api_key,
        base_url=provider.base_url,
        max_retries=provider.max_retries,
        timeout=provider.timeout,
        stream_usage=True,
    )


_OPENERS: dict[str, Callable[[str, Provider, int | None], BaseChatModel]] = {OPENAI: _open_openai}


def _unknown(name: str, reason: str) -> exceptions.RunFailed:
    return exceptions.RunFailed(ErrorCode.UNKNOWN_MODEL, f"Model {name!r} cannot be used: {reason}.")
