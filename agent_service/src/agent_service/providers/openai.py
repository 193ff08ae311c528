"""OpenAI's models, and those of any service that speaks its format."""

import importlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI, StreamChunkTimeoutError
from pydantic import SecretStr

FAILURES: tuple[type[Exception], ...] = (openai.OpenAIError, StreamChunkTimeoutError)
PASSING: tuple[type[Exception], ...] = (
    openai.APIConnectionError,
    openai.InternalServerError,
    openai.RateLimitError,
    StreamChunkTimeoutError,
)

_OUT_OF_MONEY = "insufficient_quota"
"""Said with the status of one that is asked too often."""


class Gpt(ChatOpenAI):
    """A model that speaks one of OpenAI's formats."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        return map(_under_one_id, super()._stream(*args, **kwargs))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            yield _under_one_id(chunk)

    async def aclose(self) -> None:
        """Close its connections."""
        await self.root_async_client.close()


def open_model(
    name: str,
    *,
    api_key: SecretStr,
    base_url: str | None,
    max_retries: int,
    timeout: float,
    max_output: int | None,
    use_responses_api: bool = False,
) -> BaseChatModel:
    """Return the client of a model."""
    return Gpt(
        model=name,
        max_completion_tokens=max_output,
        api_key=api_key,
        base_url=base_url,
        max_retries=max_retries,
        # As an object it also keeps LangChain from lending connections of other event loops to the same address.
        timeout=openai.Timeout(timeout),
        stream_usage=True,
        # Otherwise the client chooses by what it is asked.
        use_responses_api=use_responses_api or None,
    )


def preload() -> None:
    """Import what the client imports at its first structured answer, which takes a second or more."""
    importlib.import_module("openai.resources.beta.beta")


def is_final(error: Exception) -> bool:
    """Tell whether an error that looks as if it would pass does not."""
    return getattr(error, "code", None) == _OUT_OF_MONEY


def pause(_: Exception) -> timedelta | None:
    """Return how long the provider asks to be left alone, where no header says it."""
    return None


def _under_one_id(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    # The first piece of a response would have the response's id and the others none: two messages to a reader.
    chunk.message.id = None
    return chunk
