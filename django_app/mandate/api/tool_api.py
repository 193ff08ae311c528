"""The tool API: the agent service calls, Django answers.

Plain views: a tool call is the busiest request there is, and needs no content negotiation.
"""

import uuid
from http import HTTPStatus

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel

from mandate import exceptions, tokens
from mandate.api import bodies, problems
from mandate.selectors import catalogue, results, usage
from mandate.services import grants, refusals, request_keys, sessions, tool_calls
from shared_schemas import crashing, idempotency, tools


@csrf_exempt
@problems.answered("POST")
def open_session(request: HttpRequest) -> HttpResponse:
    """Open a tool session, or renew its token."""
    tokens.verify_worker(_bearer(request))
    opened = sessions.open_or_renew(bodies.parse(request, tools.SessionCreate))
    crashing.point("session.after_commit")
    run = opened.session.run
    limits = tools.Limits.model_validate(run.limits)
    return _answer(
        tools.Session(
            session_id=opened.session.pk,
            run_token=opened.token,
            expires_at=opened.session.expires_at,
            agent=run.agent.slug,
            acting_for=run.started_by.get_username(),
            tools=[tool.spec() for tool in grants.granted_tools(run)],
            limits=limits,
            used=usage.used(run),
            prices=usage.prices(limits),
            models=catalogue.granted(run.model),
        ),
        HTTPStatus.CREATED,
    )


@csrf_exempt
@problems.answered("DELETE")
def close_session(request: HttpRequest) -> HttpResponse:
    """Revoke the run token that asks."""
    sessions.revoke(tokens.hash_run_token(_bearer(request)))
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@problems.answered("GET")
def list_tools(request: HttpRequest) -> HttpResponse:
    """List what the run token may call."""
    grant = grants.read(tokens.hash_run_token(_bearer(request)))
    return _answer(tools.ToolList(tools=[tool.spec() for tool in grant.tools()]))


@problems.answered("GET")
def read_result(request: HttpRequest, result_id: uuid.UUID) -> HttpResponse:
    """Give the whole of a result that was too large for its answer."""
    grant = grants.read(tokens.hash_run_token(_bearer(request)))
    return _json(results.whole(result_id, run_id=grant.run.pk))


@csrf_exempt
@transaction.non_atomic_requests
@problems.answered("POST")
def call_tool(request: HttpRequest, name: str) -> HttpResponse:
    """Call a tool once."""
    token_hash = tokens.hash_run_token(_bearer(request))
    try:
        body = bodies.parse(request, tools.ToolCallRequest)
        key = request_keys.read(request.headers, idempotency.parse_tool_call_key)
    except exceptions.RequestRefused as refusal:
        # Who is not believed learns nothing about the request.
        grants.read(token_hash)
        refusals.keep_call(token_hash, tool=name, key=None, arguments=None, refusal=refusal)
        raise
    outcome = tool_calls.answer(tool_calls.Call(token_hash=token_hash, tool=name, key=key, request=body))
    response = _json(outcome.text, HTTPStatus.ACCEPTED if outcome.is_pending else HTTPStatus.OK)
    if outcome.is_replay:
        response[idempotency.REPLAYED_HEADER] = "true"
    return response


def _bearer(request: HttpRequest) -> str:
    return tokens.bearer(request.headers.get("Authorization", ""))


def _answer(message: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return _json(message.model_dump_json(by_alias=True), status)


def _json(text: str, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="application/json")
