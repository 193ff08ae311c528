"""What is said of connections that break in the moment they are made."""

import pytest
from langchain_core.exceptions import ModelConnectionError
from langchain_core.language_models import FakeListChatModel

from agent_service.providers import connection


class Breaking(FakeListChatModel):
    """Its `socket` is gone when anyio asks it."""

    responses: list[str] = []
    asked: str

    async def _agenerate(self, *_args, **_kwargs):
        gone = None
        return getattr(gone, self.asked)


class Model(connection.Told, Breaking):
    """As every provider's is derived."""


async def test_a_connection_that_broke_at_once_is_one_that_broke():
    with pytest.raises(ModelConnectionError, match="broke"):
        await Model(asked="getpeername").ainvoke("hello")


async def test_other_errors_stay_what_they_are():
    with pytest.raises(AttributeError, match="nothing_of_it"):
        await Model(asked="nothing_of_it").ainvoke("hello")
