"""Whatever is sent to Django, the answer is one that its documents name."""

import uuid

import hypothesis
import pytest
import schemathesis
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import strategies
from pydantic import BaseModel
from rest_framework.authtoken.models import Token
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from mandate import testing, tools
from mandate.services import runs
from shared_schemas import keys, signatures, tokens
from stack import contracts
from tests.contract import exchanges

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
)

tool_api = schemathesis.openapi.from_path(contracts.FOLDER / exchanges.TOOL_API)
people_api = schemathesis.openapi.from_path(contracts.FOLDER / exchanges.PEOPLE_API)

bounded = hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
PATIENCE = 60
"""Seconds that an answer may take on a busy machine."""

known = strategies.sampled_from([True, True, False])
"""Whether a case names things that there are."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    # Of schemathesis's own strategies.
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),
]


SESSIONS = "/agent-api/sessions/"
WEBHOOKS = "/api/agents/webhooks/"
EVENTS = "/api/agents/runs/{run_id}/events/"


class Note(tools.Schema):
    text: str = ""


class Kept(BaseModel):
    text: str


def keep(context: tools.Context, call: Note) -> Kept:
    """Keep a note."""
    return Kept(text=call.text)


@pytest.fixture
def run(person):
    with testing.temporary_tools():
        tools.tool(scope="notes:write", effect=tools.Effect.WRITE)(keep)
        yield testing.start_run(testing.make_agent("keep"), by=person)


@pytest.fixture
def approval(run, ask):
    return ask(run, uuid.uuid4())


@pytest.fixture
def token(person):
    return Token.objects.create(user=person).key


@tool_api.given(known=known)
@tool_api.parametrize()
@bounded
def test_the_tool_api_answers_as_documented(case, known, run, django_side):
    opens = case.operation.path == SESSIONS
    case.headers["Authorization"] = f"Bearer {worker_token() if opens else testing.token_of(run)}"
    if known:
        there = {"run_id": str(run.pk), "thread_id": str(run.pk), "arguments": {"text": "a"}}
        say(case, path={"name": "keep"}, body=there)

    case.call_and_validate(base_url=django_side.passage.upstream, checks=CHECKS, timeout=PATIENCE)


@people_api.exclude(path=WEBHOOKS).given(known=known)
@people_api.exclude(path=WEBHOOKS).parametrize()
@bounded
def test_the_peoples_api_answers_as_documented(case, known, run, approval, token, django_side):
    case.headers["Authorization"] = f"Token {token}"
    if case.operation.path == EVENTS:
        runs.cancel(run.pk)  # the stream of a run that goes on has no end
    if known:
        there = {"run_id": str(run.pk), "approval_id": str(approval.pk)}
        say(case, path=there, body={"agent": run.agent.slug, "input": {}, "query": None, "tools": []})

    case.call_and_validate(base_url=django_side.passage.upstream, checks=CHECKS, timeout=PATIENCE)


@people_api.include(path=WEBHOOKS).parametrize()
@bounded
def test_webhooks_are_answered_as_documented(case, django_side):
    rejection = openapi_checks.negative_data_rejection  # of headers, which are signed anew

    case.call_and_validate(
        base_url=django_side.passage.upstream,
        auth=sign,
        checks=CHECKS,
        excluded_checks=[rejection],
        timeout=PATIENCE,
    )


def say(case, *, path, body):
    """Name what there is, in a case that was not made to be refused."""
    if case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    case.path_parameters.update({name: path[name] for name in path.keys() & case.path_parameters.keys()})
    if isinstance(case.body, dict):
        case.body.update({name: body[name] for name in body.keys() & case.body.keys()})


def worker_token():
    return tokens.issue(
        keys.parse_signing(django_settings.AGENT_SIGNING_KEY),
        typ=tokens.TokenType.WORKER,
        issuer=tokens.AGENT_SERVICE,
        audience=tokens.DJANGO,
        subject=tokens.AGENT_SERVICE,
        token_id=str(uuid.uuid4()),
    )


def sign(request):
    key = keys.parse_signing(django_settings.AGENT_SIGNING_KEY)
    content = request.body or b""
    content = content.encode() if isinstance(content, str) else content
    request.headers.update(
        signatures.sign(key, message_id=str(uuid.uuid4()), sent_at=timezone.now(), body=content)
    )
    return request
