"""From a request to a run: what the caller may ask for, and what it gets if it does not say."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends

from agent_service import auth, bootstrap, exceptions
from agent_service.api import payloads
from agent_service.api.dependencies import Idempotency, Services, Writer
from agent_service.engine import assistants, run
from agent_service.events import telling
from shared_schemas import tokens
from shared_schemas.problems import ErrorCode

MANDATE_RUN = "mandate_run"
MANDATE_PRIORITY = "mandate_priority"
URGENT = 100
"""The highest priority; the lowest is its negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A run that is kept and queued."""

    run: run.Run
    expected: telling.Expected | None
    """What was heard of it since, if it is new."""

    cancel_on_disconnect: bool


async def _on_thread(
    thread_id: UUID, body: payloads.RunCreate, caller: Writer, services: Services, idempotency: Idempotency
) -> Submitted:
    return await submit(services, body, caller=caller, thread_id=thread_id, idempotency=idempotency)


async def _on_its_own(
    body: payloads.RunCreate, caller: Writer, services: Services, idempotency: Idempotency
) -> Submitted:
    return await submit(services, body, caller=caller, thread_id=None, idempotency=idempotency)


OnThread = Annotated[Submitted, Depends(_on_thread)]
"""What an endpoint asks for that creates a run on the thread in its path."""

OnItsOwn = Annotated[Submitted, Depends(_on_its_own)]
"""The same, with a thread made for the run."""


async def submit(
    services: bootstrap.Services,
    body: payloads.RunCreate,
    *,
    caller: auth.Caller,
    thread_id: UUID | None,
    idempotency: run.IdempotencyKey | None,
) -> Submitted:
    """Keep a run and queue it.

    Raises:
        RequestError: the caller may not have it so.
    """
    submission = await prepare(services, body, caller=caller, thread_id=thread_id, idempotency=idempotency)
    expected = services.events.expect(submission.run_id)
    row = await services.queue.submit(submission)
    return Submitted(
        run=row,
        expected=expected if row.run_id == submission.run_id else None,
        cancel_on_disconnect=body.on_disconnect == "cancel",
    )


async def prepare(
    services: bootstrap.Services,
    body: payloads.RunCreate,
    *,
    caller: auth.Caller,
    thread_id: UUID | None,
    idempotency: run.IdempotencyKey | None,
) -> run.Submission:
    """Return what a request asks for as a run to be created.

    Raises:
        RequestError: the caller may not have it so.
    """
    assistant = await services.assistants.find(body.assistant_id, owner=caller.subject)
    metadata = _metadata(body.metadata or {}, caller)
    _check_modes(body, has_mandate=MANDATE_RUN in metadata)
    return run.Submission(
        thread_id=thread_id or uuid.uuid4(),
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        owner=caller.subject,
        by_person=caller.is_person,
        payload=_payload(
            body, assistant, deletes=thread_id is None and body.on_completion is run.OnCompletion.DELETE
        ),
        metadata=metadata,
        create_thread=thread_id is None or body.if_not_exists == "create",
        multitask_strategy=body.multitask_strategy,
        priority=_priority(metadata, caller),
        after=timedelta(seconds=body.after_seconds),
        webhook_url=_webhook(services, body.webhook, has_mandate=MANDATE_RUN in metadata),
        idempotency=idempotency,
    )


def _metadata(metadata: run.JsonObject, caller: auth.Caller) -> run.JsonObject:
    if MANDATE_RUN not in metadata:
        return metadata
    caller.require(tokens.Scope.MANDATE)
    try:
        return metadata | {MANDATE_RUN: str(UUID(str(metadata[MANDATE_RUN])))}
    except ValueError:
        raise exceptions.RequestError(
            ErrorCode.INVALID_REQUEST, "'metadata.mandate_run' must be the id of one of Django's runs."
        ) from None


def _check_modes(body: payloads.RunCreate, *, has_mandate: bool) -> None:
    # LangChain's events show what tools are given, their credential among it.
    if has_mandate and payloads.StreamMode.EVENTS in body.stream_modes:
        raise exceptions.RequestError(
            ErrorCode.NOT_OFFERED, "The stream mode 'events' is not offered for runs with a mandate."
        )


def _priority(metadata: run.JsonObject, caller: auth.Caller) -> int:
    if MANDATE_PRIORITY not in metadata:
        return 0
    caller.require(tokens.Scope.MANDATE)
    asked = metadata[MANDATE_PRIORITY]
    if type(asked) is not int or abs(asked) > URGENT:
        raise exceptions.RequestError(
            ErrorCode.INVALID_REQUEST,
            f"'metadata.{MANDATE_PRIORITY}' must be an integer from -{URGENT} to {URGENT}.",
        )
    return asked


def _payload(body: payloads.RunCreate, assistant: assistants.Assistant, *, deletes: bool) -> run.Payload:
    command = _command(body.command)
    return run.Payload(
        input=None if command else body.input,
        command=command,
        config=assistant.config_of(body.config or {}),
        context=assistant.context_of(body.context or {}),
        checkpoint=body.fork,
        stream_modes=body.stream_modes,
        stream_subgraphs=body.stream_subgraphs,
        interrupt_before=_nodes(body.interrupt_before),
        interrupt_after=_nodes(body.interrupt_after),
        durability=body.how_durable,
        strict_resume=body.strict_resume,
        feedback_keys=tuple(body.feedback_keys or ()),
        on_completion="delete" if deletes else None,
    )


def _command(command: payloads.Command | None) -> run.JsonObject | None:
    # RemoteGraph sends an empty `goto` beside everything; alone it means nothing.
    given: dict[str, Any] = command.model_dump(exclude_unset=True) if command else {}
    return {name: value for name, value in given.items() if value != []} or None


def _nodes(names: str | list[str] | None) -> str | tuple[str, ...] | None:
    return tuple(names) if isinstance(names, list) else names


def _webhook(services: bootstrap.Services, asked: str | None, *, has_mandate: bool) -> str | None:
    allowed = services.settings.allowed_webhook_urls
    if asked is None:
        return allowed[0] if has_mandate else None
    if asked not in allowed:
        raise exceptions.RequestError(
            ErrorCode.WEBHOOK_NOT_ALLOWED, "'webhook' is none of the addresses in AGENT_WEBHOOK_URLS."
        )
    return asked
