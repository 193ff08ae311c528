"""Anthropic's models."""

from datetime import timedelta
from functools import cached_property
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from agent_service.providers import connection

FAILURES: tuple[type[Exception], ...] = (anthropic.AnthropicError,)
PASSING: tuple[type[Exception], ...] = (
    anthropic.APIConnectionError,
    anthropic.InternalServerError,
    anthropic.RateLimitError,
)


class Claude(connection.Told, ChatAnthropic):
    """A model of Anthropic's."""

    @cached_property
    def _async_client(self) -> anthropic.AsyncClient:
        # LangChain's own lends connections of other event loops to the same address.
        return anthropic.AsyncClient(**self._client_params)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._async_client.close()


def open_model(
    name: str,
    *,
    api_key: SecretStr,
    base_url: str | None,
    max_retries: int,
    timeout: float,
    max_output: int | None,
) -> BaseChatModel:
    """Return the client of a model."""
    # Without a limit of ours, the most that the model can say.
    longest: dict[str, Any] = {} if max_output is None else {"max_tokens": max_output}
    return Claude(
        **longest,
        model=name,
        api_key=api_key,
        base_url=base_url,
        max_retries=max_retries,
        timeout=timeout,
        stop=None,
        stream_usage=True,
    )


def preload() -> None:
    """Import what the client would import only when it is asked: nothing."""


def is_final(_: Exception) -> bool:
    """Tell whether an error that looks as if it would pass does not."""
    return False


def pause(_: Exception) -> timedelta | None:
    """Return how long the provider asks to be left alone, where no header says it."""
    return None
