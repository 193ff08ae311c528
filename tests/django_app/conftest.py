import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from pydantic import BaseModel

from mandate import conf, fakes, testing, tools
from mandate.services import agents
from shared_schemas import idempotency, keys
from shared_schemas.tools import Limits


class AddGroup(tools.Schema):
    name: str
    size: int = 1


class GroupAdded(BaseModel):
    name: str
    groups: int


class Nothing(tools.Schema):
    pass


class Names(BaseModel):
    names: list[str]


def add_group(context: tools.Context, call: AddGroup) -> GroupAdded:
    """Add a group."""
    group = Group.objects.create(name=call.name)
    context.link(group)
    return GroupAdded(name=call.name, groups=Group.objects.count())


def list_groups(_context: tools.Context, _call: Nothing) -> Names:
    """List the groups."""
    return Names(names=list(Group.objects.order_by("name").values_list("name", flat=True)))


@pytest.fixture
def make_user(db):
    def make(name=None, **fields):
        return User.objects.create_user(name or f"user-{uuid.uuid4().hex[:12]}", password="x", **fields)

    return make


@pytest.fixture
def user(make_user):
    return make_user("anna")


@pytest.fixture
def agent(db):
    return agents.ensure("practice-author", graph="practice_author", default_model="gpt-5-mini")


@pytest.fixture
def agent_service(settings):
    """The agent service, faked behind real HTTP."""
    fake = fakes.FakeAgentService(
        signing_key=keys.parse_signing(settings.AGENT_SIGNING_KEY),
        trusted=keys.parse_trusted([conf.settings().signing_key.public_text()]),
    )
    with fake.serving():
        settings.MANDATE = settings.MANDATE | {"AGENT_URL": fake.url}
        yield fake


@pytest.fixture
def declare():
    """Declares a tool; by default the one that adds a group."""
    with testing.temporary_tools():

        def make(function=add_group, **options):
            defaults: dict[str, Any] = {"scope": "groups:write", "effect": tools.Effect.WRITE}
            tools.tool(**defaults | options)(function)
            return options.get("name", function.__name__)

        yield make


@pytest.fixture
def add_tool(declare):
    return declare()


@pytest.fixture
def list_tool(declare):
    return declare(list_groups, scope="groups:read", effect=tools.Effect.READ)


@pytest.fixture
def approved_tool(declare):
    return declare(name="add_group_if_approved", approval=tools.ApprovalRule(permission="auth.add_group"))


@pytest.fixture
def start_run(user):
    """Starts a run of a new agent that has the tools named."""

    def start(*names, **limits):
        agent = testing.make_agent(*names, limits=Limits(**limits))
        return testing.start_run(agent, by=user)

    return start


@pytest.fixture
def post_call(client):
    """Calls a tool over HTTP, with a new key where none is given and `key=None` for none."""

    def post(run_or_token, name, arguments, *, key="", **extra):
        is_token = isinstance(run_or_token, str)
        token = run_or_token if is_token else testing.token_of(run_or_token)
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers[idempotency.HEADER] = key or testing.new_key()
        body = arguments if isinstance(arguments, bytes) else json.dumps({"arguments": arguments} | extra)
        path = f"/agent-api/tools/{name}/calls/"
        return client.post(path, body, content_type="application/json", headers=headers)

    return post


@pytest.fixture
def problem_of():
    """Reads status and code of an answer that must be a problem."""

    def read(response):
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code
        return response.status_code, response.json()["code"]

    return read
