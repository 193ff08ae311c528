"""Says of a connection that broke what LangChain says of every other failure of a provider.

Not every client does so itself: Google's passes its HTTP library's errors on, Anthropic's those in a stream.
"""

import importlib
import importlib.util
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.exceptions import ModelConnectionError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from agent_service import http_client

# The clients use the one or the other, depending on their version.
_LIBRARIES = [importlib.import_module(name) for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]
_TOO_LATE = tuple(library.TimeoutException for library in _LIBRARIES)
_BROKEN = tuple(library.TransportError for library in _LIBRARIES)

_BROKE = "The connection to the provider broke."


class Told(BaseChatModel):
    """What a client is derived from, before its own class."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with _told():
            return super()._generate(*args, **kwargs)  # type: ignore[safe-super]  # the client has one

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with _told():
            return await super()._agenerate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with _told():
            yield from super()._stream(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with _told():
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _TOO_LATE as error:
        raise ModelTimeoutError("The provider did not answer in time.") from error
    except _BROKEN as error:
        raise ModelConnectionError(_BROKE) from error
    except AttributeError as error:
        if not http_client.broke_at_once(error):
            raise
        raise ModelConnectionError(_BROKE) from error
