"""From a request to a run: what the caller may ask for, and what it gets if it does not say."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends

from agent_service import auth, bootstrap, exceptions
from agent_service.api import catalogue, payloads
from agent_service.api.dependencies import Idempotency, Services, Writer
from agent_service.engine import run
from shared_schemas import tokens
from shared_schemas.problems import ErrorCode

MANDATE_RUN = "mandate_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A run that is kept and queued."""

    run: run.Run
    cancel_on_disconnect: bool


async def _on_thread(
    thread_id: UUID, body: payloads.RunCreate, caller: Writer, services: Services, idempotency: Idempotency
) -> Submitted:
    return await _submit(services, body, caller=caller, thread_id=thread_id, idempotency=idempotency)


async def _on_its_own(
    body: payloads.RunCreate, caller: Writer, services: Services, idempotency: Idempotency
) -> Submitted:
    return await _submit(services, body, caller=caller, thread_id=None, idempotency=idempotency)


OnThread = Annotated[Submitted, Depends(_on_thread)]
"""What an endpoint asks for that creates a run on the thread in its path."""

OnItsOwn = Annotated[Submitted, Depends(_on_its_own)]
"""The same, with a thread made for the run."""


async def _submit(
    services: bootstrap.Services,
    body: payloads.RunCreate,
    *,
    caller: auth.Caller,
    thread_id: UUID | None,
    idempotency: run.IdempotencyKey | None,
) -> Submitted:
    assistant = catalogue.find(services.registry, body.assistant_id)
    metadata = _metadata(body.metadata or {}, caller)
    submission = run.Submission(
        thread_id=thread_id or uuid.uuid4(),
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        owner=caller.subject,
        payload=_payload(body),
        metadata=metadata,
        create_thread=thread_id is None or body.if_not_exists == "create",
        multitask_strategy=body.multitask_strategy,
        after=timedelta(seconds=body.after_seconds),
        webhook_url=_webhook(services, body.webhook, has_mandate=MANDATE_RUN in metadata),
        idempotency=idempotency,
    )
    row = await services.queue.submit(submission)
    return Submitted(run=row, cancel_on_disconnect=body.on_disconnect == "cancel")


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


def _payload(body: payloads.RunCreate) -> run.Payload:
    command = _command(body.command)
    return run.Payload(
        input=None if command else body.input,
        command=command,
        config=body.config or {},
        context=body.context or {},
        checkpoint=body.fork,
        stream_modes=body.stream_modes,
        stream_subgraphs=body.stream_subgraphs,
        interrupt_before=_nodes(body.interrupt_before),
        interrupt_after=_nodes(body.interrupt_after),
        durability=body.durability,
        strict_resume=body.strict_resume,
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
