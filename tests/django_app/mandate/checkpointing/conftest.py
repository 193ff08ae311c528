"""Graphs that keep their state in Django, and LangGraph's own saver in memory to compare with."""

import uuid

import pytest
from asgiref.sync import async_to_sync

from mandate.checkpointing import DjangoSaver


@pytest.fixture
def saver():
    return DjangoSaver()


@pytest.fixture
def thread():
    """A configuration of a new thread."""
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


@pytest.fixture
def history():
    """What there is of a thread, latest first: ids are another's, so that two savers can be compared."""

    def read(graph, config):
        async def states():
            return [state async for state in graph.aget_state_history(config)]

        return [
            (
                state.values,
                state.next,
                state.metadata["source"],
                state.metadata["step"],
                [interrupt.value for interrupt in state.interrupts],
                state.parent_config is None,
            )
            for state in async_to_sync(states)()
        ]

    return read
