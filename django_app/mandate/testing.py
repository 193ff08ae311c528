"""For the tests of a project that declares tools: call them as an agent would, through the real ledger.

A tool stays a plain function and may be tested as one. What these add is everything around it: the schema,
the mandate, the idempotency key, the approval and the transaction.
"""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from mandate import conf, fakes, models, tokens
from mandate.services import agents, approvals, runs, tool_calls
from mandate.tools import registry, reviewing, scopes, topics
from shared_schemas import keys
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import Effect, Limits, ToolCallAnswer, ToolCallRequest

__all__ = [
    "agent_service",
    "call_tool",
    "decide",
    "make_agent",
    "new_key",
    "start_run",
    "temporary_tools",
    "token_of",
]


def make_agent(*tools: str, limits: Limits | None = None) -> models.Agent:
    """Return a new agent with an account of its own and the tools named."""
    slug = f"agent-{uuid.uuid4().hex[:12]}"
    return agents.ensure(slug, graph="any", default_model="any", tools=tools, limits=limits)


def start_run(agent: models.Agent, *, by: User | None = None, **fields: Any) -> models.Run:
    """Return a running run of an agent, as after its worker has begun; nothing is sent anywhere.

    Without `by` it acts for the agent's own account.
    """
    run = models.Run(
        agent=agent,
        started_by=by or agent.user,
        **{"input": {}, "model": agent.default_model, "tools": agent.tools, "limits": agent.limits}
        | {"status": RunStatus.RUNNING, "epoch": 1}
        | fields,
    )
    run.thread_id = run.pk
    run.save(force_insert=True)
    return run


def token_of(run: models.Run, *, lifetime: timedelta = timedelta(minutes=15)) -> str:
    """Return a run token of the run's latest worker; an earlier one of the same worker is replaced."""
    token = tokens.new_run_token()
    models.ToolSession.objects.update_or_create(
        run=run,
        epoch=run.epoch,
        defaults={
            "token_hash": tokens.hash_run_token(token),
            "expires_at": timezone.now() + lifetime,
            "revoked_at": None,
        },
    )
    return token


def new_key() -> str:
    """Return an idempotency key that no call has had."""
    return f"tk1_{uuid.uuid4().hex}"


def call_tool(
    name: str,
    arguments: dict[str, Any],
    *,
    agent: models.Agent | None = None,
    run: models.Run | None = None,
    key: str | None = None,
) -> ToolCallAnswer:
    """Call a tool in a run, or in a new run of an agent, or of a new agent that has this tool.

    Raises:
        RequestRefused, ToolRejected: what the caller would be answered as a problem.
    """
    acting = run or start_run(agent or make_agent(name))
    is_write = registry.declared()[name].effect is Effect.WRITE
    call = tool_calls.Call(
        token_hash=tokens.hash_run_token(token_of(acting)),
        tool=name,
        key=key or (new_key() if is_write else None),
        request=ToolCallRequest(arguments=arguments),
    )
    return tool_calls.answer(call).answer


def decide(
    approval_id: uuid.UUID,
    decision: Literal["approve", "edit", "reject"] = "approve",
    *,
    by: User,
    **fields: Any,
) -> models.Approval:
    """Decide about a call as a person would.

    Raises:
        RequestRefused, ToolRejected: what the person would be answered as a problem.
    """
    return approvals.decide(approval_id, Decision(decision=decision, **fields), by=by)


@contextlib.contextmanager
def agent_service() -> Iterator[fakes.FakeAgentService]:
    """Stand in for the agent service meanwhile, over real HTTP; its runs end as the test says."""
    signing_key = keys.parse_signing(keys.generate())
    ours = conf.settings().signing_key.public_text()
    fake = fakes.FakeAgentService(signing_key=signing_key, trusted=keys.parse_trusted([ours]))
    given = django_settings.MANDATE | {"AGENT_URL": fake.url, "TRUSTED_KEYS": [signing_key.public_text()]}
    with fake.serving(), override_settings(MANDATE=given):
        yield fake


@contextlib.contextmanager
def temporary_tools() -> Iterator[None]:
    """Forget at the end which tools, records of models, rules of drafts and topics were declared inside."""
    before, before_scopes = set(registry.declared()), set(scopes.declared())
    before_rules = set(reviewing.declared())
    # Mandate's own are declared by modules that may be imported inside for the first time.
    before_topics = {*topics.declared(), runs.SUBMIT, runs.RESUME, runs.CANCEL}
    try:
        yield
    finally:
        for name in set(registry.declared()) - before:
            registry.unregister(name)
        for model in set(scopes.declared()) - before_scopes:
            scopes.forget(model)
        for owned in set(reviewing.declared()) - before_rules:
            reviewing.forget(owned)
        for topic in set(topics.declared()) - before_topics:
            topics.forget(topic)
