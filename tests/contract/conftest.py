"""Both sides over real HTTP, with a passage before each that holds what is said against the documents."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.utils import timezone
from rest_framework.authtoken.models import Token

from agent_service import app, migrating
from agent_service.settings import Settings
from agent_service.testing import model_server, scripts
from mandate import conf, fakes, models, testing
from mandate.services import agents, runs
from shared_schemas import keys
from shared_schemas.tools import ToolCallStatus
from tests import serving
from tests.contract import exchanges, passage

WEBHOOKS = "/api/agents/webhooks/"
NOBODY = "http://127.0.0.1:9/v1"
"""Where no model answers."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side's real application, and the passage to it."""

    url: str
    """Of the passage."""

    passage: Any


@pytest.fixture(scope="package")
def django_side(django_db_setup):
    with (
        serving.serving(get_asgi_application(), lifespan="off") as upstream,
        passage.opened(exchanges.Api(exchanges.TOOL_API, exchanges.PEOPLE_API)) as (passing, url),
    ):
        passing.upstream = upstream
        yield Side(url=url, passage=passing)


@pytest.fixture(scope="package")
def plain_logs():
    """Tracebacks without their pictures of local variables, which take seconds to draw."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package")
def model_side():
    """A model server, at an address that is no provider's default."""
    verdict = {"structured": {"name": "Verdict", "value": {"score": 7}}}
    script = scripts.Script.model_validate({"rules": [{"when": {"wants": "Verdict"}, "answer": verdict}]})
    server = model_server.ModelServer(script=script)
    with serving.serving(server.app(), lifespan="off") as url:
        yield server, model_server.base_urls(url)


@pytest.fixture(scope="package")
def agent_side(make_database, django_side, model_side, plain_logs):
    """The agent service with a worker; it believes Django's key, and calls Django through its passage."""
    database_url = make_database()
    asyncio.run(migrating.migrate(database_url))
    settings = Settings(
        database_url=database_url,
        signing_key=django_settings.AGENT_SIGNING_KEY,
        trusted_keys=conf.settings().signing_key.public_text(),
        django_url=django_side.url,
        graphs=Path(__file__).with_name("langgraph.json"),
        openai_api_key="made up",
        openai_base_url=NOBODY,
        anthropic_api_key="made up",
        model_base_urls=tuple(model_side[1].values()),
        model_retries=0,
    )
    with (
        serving.serving(app.create_app(settings)) as upstream,
        passage.opened(exchanges.Api(exchanges.AGENT_SERVICE)) as (passing, url),
    ):
        passing.upstream = upstream
        yield Side(url=url, passage=passing)


@pytest.fixture(scope="package")
def fake_agent_side():
    """The fake that Django's own tests use."""
    fake = fakes.FakeAgentService(
        signing_key=keys.parse_signing(django_settings.AGENT_SIGNING_KEY),
        trusted=keys.parse_trusted([conf.settings().signing_key.public_text()]),
    )
    with fake.serving(), passage.opened(exchanges.Api(exchanges.AGENT_SERVICE)) as (passing, url):
        passing.upstream = fake.url
        yield fake, Side(url=url, passage=passing)


@pytest.fixture
def believed(settings):
    """Turn Django to an agent service meanwhile, and look at all that was said."""
    looked_at = []

    def turn_to(*sides):
        looked_at.extend(sides)
        settings.MANDATE = settings.MANDATE | {"AGENT_URL": sides[0].url}
        for side in sides:
            side.passage.forget()

    yield turn_to
    for side in looked_at:
        assert side.passage.faults == []


@pytest.fixture
def both_sides(transactional_db, believed, agent_side, django_side):
    believed(agent_side, django_side)
    return agent_side, django_side


@pytest.fixture
def person(transactional_db):
    return User.objects.create_user("person", is_superuser=True)


@pytest.fixture
def http(person, django_side):
    """A person's program."""
    authorization = f"Token {Token.objects.create(user=person).key}"
    headers = {"Authorization": authorization}
    with httpx.Client(base_url=django_side.url, headers=headers, timeout=30, verify=False) as client:
        yield client


@pytest.fixture
def start(person):
    """Start a run of a graph, as the dispatcher does."""

    def start_run(graph, **given):
        agent = agents.ensure(f"agent-{graph}", graph=graph, default_model="gpt-5-mini")
        return runs.start(agent=agent, input={"text": "hello"} | given, by=person)

    return start_run


@pytest.fixture
def ask(person):
    """Make the question that a graph waits for, about a call of a run."""

    def make(run, approval_id):
        call = models.ToolCall.objects.create(
            run=run,
            key=testing.new_key(),
            tool="publish",
            arguments={},
            status=ToolCallStatus.PENDING_APPROVAL,
            agent_user=run.agent.user,
            acting_for=person,
            epoch=1,
        )
        return models.Approval.objects.create(
            id=approval_id,
            run=run,
            tool_call=call,
            permission="auth.add_group",
            message="May I?",
            arguments={},
            expires_at=timezone.now() + timedelta(days=1),
        )

    return make
