"""Google's models, by the Gemini API."""

import re
from datetime import timedelta

from google.genai import errors
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai.chat_models import ChatGoogleGenerativeAIError
from pydantic import SecretStr

from agent_service.providers import connection

FAILURES: tuple[type[Exception], ...] = (errors.APIError, ChatGoogleGenerativeAIError)
PASSING: tuple[type[Exception], ...] = (errors.ServerError,)

_RETRY_DELAY = re.compile(r"""['"]retryDelay['"]: ['"](\d+(?:\.\d+)?)s['"]""")


class Gemini(connection.Told, ChatGoogleGenerativeAI):
    """A model of Google's."""


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
    return Gemini(
        model=name,
        max_output_tokens=max_output,
        google_api_key=api_key,
        base_url=base_url,
        # It counts the first attempt too.
        max_retries=max_retries + 1,
        timeout=timeout,
        # Whatever else the environment says: that would be another service, with other credentials.
        vertexai=False,
    )


def preload() -> None:
    """Import what the client would import only when it is asked: nothing."""


def is_final(_: Exception) -> bool:
    """Tell whether an error that looks as if it would pass does not."""
    return False


def pause(error: Exception) -> timedelta | None:
    """Return how long the provider asks to be left alone: it says so in the body."""
    found = _RETRY_DELAY.search(str(error))
    return timedelta(seconds=float(found.group(1))) if found else None
