"""Calls the agent service: `langgraph_sdk` with a token per request, and every error as `DeliveryFailed`."""

import ssl
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from uuid import UUID

import httpx
from django.contrib.auth.models import AbstractUser
from django.core.signals import setting_changed
from langgraph_sdk import errors
from langgraph_sdk.client import LangGraphClient, SyncLangGraphClient
from langgraph_sdk.schema import Command, StreamPart
from pydantic import Field, ValidationError

from mandate import conf, exceptions, models, tokens
from shared_schemas import base, idempotency
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.usage import ModelUsage

STREAM_MODES: tuple[Literal["updates", "messages-tuple", "custom"], ...] = (
    "updates",
    "messages-tuple",
    "custom",
)
"""What is kept of a run's progress for the people who watch it."""

FROM_THE_START = "-1"
"""The event id before the first."""

_TIMEOUT = httpx.Timeout(connect=2, read=15, write=15, pool=5)
_STREAM_TIMEOUT = httpx.Timeout(connect=2, read=30, write=15, pool=5)
_LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=20)

_WORTH_ANOTHER_TRY = frozenset({401, 403, 408, 425, 429})
"""Statuses below 500 that go away: keys and clocks get mended, load passes."""

_PASSING = frozenset({ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, ErrorCode.THREAD_BUSY})

_opening = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the agent service says of one segment of a run."""

    agent_run_id: UUID
    segment: int
    status: Literal["pending", "running", "success", "error", "timeout", "interrupted"]
    failure: Failure | None = None
    usage: list[ModelUsage]
    prompt_version: str = ""
    parked: bool = False
    """The graph stands before an answer."""

    values: Any = None
    interrupts: dict[str, Any]
    """Values of the interrupts that wait, by their ids."""


class _Metadata(base.Answer):
    mandate_segment: int


class _Run(base.Answer):
    run_id: UUID
    status: Literal["pending", "running", "success", "error", "timeout", "interrupted"]
    metadata: _Metadata
    error: Failure | None = None
    usage: list[ModelUsage] = []
    prompt_version: str | None = Field(default=None, max_length=64)


class _Interrupt(base.Answer):
    id: str
    value: Any = None


class _Thread(base.Answer):
    status: Literal["idle", "busy", "interrupted", "error"]
    values: Any = None
    interrupts: dict[str, list[_Interrupt]] = {}


def submit(
    run: models.Run, *, key: str, segment: int, graph: str, given: Any = None, resume: Any = None
) -> UUID:
    """Submit a segment and return the agent service's run; the same key returns the same one.

    Raises:
        DeliveryFailed: it was not accepted.
    """
    with _translated():
        answer = _client().runs.create(
            str(run.thread_id),
            graph,
            input=given,
            command=None if resume is None else Command(resume=resume),
            metadata={
                "mandate_run": str(run.pk),
                "mandate_segment": segment,
                "mandate_priority": run.priority,
            },
            context={"model": run.model},
            stream_mode=list(STREAM_MODES),
            stream_subgraphs=True,
            stream_resumable=True,
            if_not_exists="create",
            durability="sync",
            headers=_headers(run) | {idempotency.HEADER: key},
        )
        return _Run.model_validate(answer).run_id


def cancel(run: models.Run, agent_run_id: UUID) -> None:
    """Stop a run of the agent service; one that has ended or is not known needs nothing.

    Raises:
        DeliveryFailed: the agent service did not take it.
    """
    with _translated():
        try:
            _client().runs.cancel(str(run.thread_id), str(agent_run_id), headers=_headers(run))
        except (errors.NotFoundError, errors.ConflictError):
            return


def pull(run: models.Run, agent_run_id: UUID) -> Outcome:
    """Return how a segment of a run stands.

    Raises:
        DeliveryFailed: the agent service does not say; `NOT_FOUND` if it does not know the run.
    """
    thread_id, headers = str(run.thread_id), _headers(run)
    with _translated():
        seen = _Run.model_validate(_client().runs.get(thread_id, str(agent_run_id), headers=headers))
        thread = _Thread.model_validate(_client().threads.get(thread_id, headers=headers))
    return Outcome(
        agent_run_id=seen.run_id,
        segment=seen.metadata.mandate_segment,
        status=seen.status,
        failure=seen.error,
        usage=seen.usage,
        prompt_version=seen.prompt_version or "",
        parked=thread.status == "interrupted",
        values=thread.values,
        interrupts={one.id: one.value for group in thread.interrupts.values() for one in group},
    )


async def events(
    *, thread_id: UUID, agent_run_id: UUID, acting_for: AbstractUser, after: str = FROM_THE_START
) -> AsyncGenerator[StreamPart]:
    """Follow the events of a segment after the one with the id `after`, until it ends.

    Raises:
        DeliveryFailed: the stream cannot be had, or it broke; what was yielded need not be asked for again.
    """
    transport = httpx.AsyncHTTPTransport(verify=_tls())
    async with httpx.AsyncClient(
        base_url=conf.settings().agent_url, transport=transport, timeout=_STREAM_TIMEOUT, trust_env=False
    ) as http:
        stream = LangGraphClient(http).runs.join_stream(
            str(thread_id),
            str(agent_run_id),
            headers={"Authorization": f"Bearer {tokens.for_service(acting_for)}"},
            last_event_id=after,
        )
        with _translated():
            async for part in stream:
                yield part


def input_schema(graph: str, *, by: AbstractUser) -> dict[str, Any]:
    """Return the JSON schema of a graph's input.

    Raises:
        DeliveryFailed: the agent service does not say.
    """
    headers = {"Authorization": f"Bearer {tokens.for_service(by)}"}
    with _translated():
        return dict(_client().assistants.get_schemas(graph, headers=headers)["input_schema"] or {})


def _client() -> SyncLangGraphClient:
    """Return the one client of this process; its connections are kept and shared by all threads."""
    # The cache alone lets threads that come first make a client each, of which all but one are never closed.
    with _opening:
        return _opened()


@cache
def _opened() -> SyncLangGraphClient:
    return SyncLangGraphClient(
        httpx.Client(
            base_url=conf.settings().agent_url,
            timeout=_TIMEOUT,
            limits=_LIMITS,
            verify=_tls(),
            trust_env=False,
        )
    )


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _headers(run: models.Run) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.for_service(run.started_by)}"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.APIStatusError as error:
        raise _refused(error) from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise exceptions.DeliveryFailed(
            ErrorCode.UNAVAILABLE, f"The agent service does not answer: {str(error) or type(error).__name__}"
        ) from error
    except (ValidationError, ValueError) as error:
        raise exceptions.DeliveryFailed(
            ErrorCode.INTERNAL, f"The agent service's answer is not understood: {error}"
        ) from error


def _refused(error: errors.APIStatusError) -> exceptions.DeliveryFailed:
    code = _code_of(error)
    permanent = (
        error.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        and error.status_code not in _WORTH_ANOTHER_TRY
        and code not in _PASSING
    )
    return exceptions.DeliveryFailed(code, f"{error.status_code}: {error.message}", permanent=permanent)


def _code_of(error: errors.APIStatusError) -> ErrorCode:
    try:
        return ErrorCode(error.code or "")
    except ValueError:
        return ErrorCode.INTERNAL


def close() -> None:
    """Close this process's connections; the next call opens new ones."""
    with _opening:
        if _opened.cache_info().currsize:
            _opened().http.client.close()
            _opened.cache_clear()


def _forget(*, setting: str, **_: object) -> None:
    if setting == "MANDATE":
        close()


setting_changed.connect(_forget)
