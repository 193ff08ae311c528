"""Google's models, by the Gemini API."""

import re
from datetime import timedelta

import httpx2
from google import genai
from google.genai import errors, types
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai.chat_models import ChatGoogleGenerativeAIError
from pydantic import PrivateAttr, SecretStr

from agent_service.providers import connection

FAILURES: tuple[type[Exception], ...] = (errors.APIError, ChatGoogleGenerativeAIError)
PASSING: tuple[type[Exception], ...] = (errors.ServerError,)

_RETRY_DELAY = re.compile(r"""['"]retryDelay['"]: ['"](\d+(?:\.\d+)?)s['"]""")


class Gemini(connection.Told, ChatGoogleGenerativeAI):
    """A model of Google's.

    Its client would use httpx, which loses the connection of a call that is cancelled twice (encode/httpx#3782).
    """

    _http: httpx2.AsyncClient = PrivateAttr(default_factory=lambda: httpx2.AsyncClient(timeout=None))

    def speak_over_our_http(self, *, api_key: SecretStr, base_url: str | None) -> None:
        """Replace the client by one that is the same but for its HTTP library."""
        options = types.HttpOptions(base_url=base_url, httpx_async_client=self._http)
        self.client = genai.Client(api_key=api_key.get_secret_value(), http_options=options)

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        await self._http.aclose()


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
    opened = Gemini(
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
    opened.speak_over_our_http(api_key=api_key, base_url=base_url)
    return opened


def preload() -> None:
    """Import what the client would import only when it is asked: nothing."""


def is_final(_: Exception) -> bool:
    """Tell whether an error that looks as if it would pass does not."""
    return False


def pause(error: Exception) -> timedelta | None:
    """Return how long the provider asks to be left alone: it says so in the body."""
    found = _RETRY_DELAY.search(str(error))
    return timedelta(seconds=float(found.group(1))) if found else None
