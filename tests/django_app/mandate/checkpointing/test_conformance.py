"""LangGraph's own suite for checkpointers, whole."""

import pytest
from asgiref.sync import async_to_sync
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from mandate.checkpointing import DjangoSaver

pytestmark = pytest.mark.django_db


@checkpointer_test(name="DjangoSaver")
async def saver():
    yield DjangoSaver()


@pytest.mark.parametrize("capability", sorted(one.value for one in ALL_CAPABILITIES))
def test_the_saver_does_what_langgraph_asks_of_a_checkpointer(capability):
    report = async_to_sync(validate)(saver, capabilities={capability})

    result = report.results[capability]
    assert result.failures == []
    assert (result.detected, result.passed) == (True, True)
    assert result.tests_passed > 0
