import socket
from urllib.parse import urlsplit

import pytest

from mandate import exceptions, fakes, models, testing
from mandate.tools import registry
from shared_schemas import keys

pytestmark = pytest.mark.django_db


def test_a_tool_is_called_by_a_new_agent_that_has_it(add_tool):
    answer = testing.call_tool(add_tool, {"name": "red"})

    row = models.ToolCall.objects.get()
    assert answer.result == row.response["result"] == {"name": "red", "groups": 1}


def test_a_given_agent_needs_the_tool(add_tool, list_tool):
    agent = testing.make_agent(list_tool)

    with pytest.raises(exceptions.RequestRefused, match="does not have the tool 'add_group'"):
        testing.call_tool(add_tool, {"name": "red"}, agent=agent)


def test_temporary_tools_are_forgotten(declare):
    before = set(registry.declared())

    with testing.temporary_tools():
        declare(name="for_now")

    assert set(registry.declared()) == before


def test_many_may_come_before_the_agent_service_takes_the_first():
    signing_key = keys.parse_signing(keys.generate())
    fake = fakes.FakeAgentService(
        signing_key=signing_key, trusted=keys.parse_trusted([signing_key.public_text()])
    )
    address = urlsplit(fake.url)

    came = [socket.create_connection((address.hostname, address.port), timeout=20) for _ in range(50)]

    with fake.serving():
        for one in came:
            one.close()
    assert fake.runs == []
