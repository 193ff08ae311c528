"""Calls Django's tool API over HTTP.

The transport is the only seam: whoever tests this hands `open_client` another one.
"""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import httpx
import structlog
import tenacity
from pydantic import JsonValue, ValidationError

from agent_service import exceptions, http_client
from agent_service.tools import answers
from shared_schemas import crashing, idempotency, json_values, keys, problems, tokens
from shared_schemas.tools import MAX_BODY_BYTES, Limits, Session, SessionCreate, ToolCallAnswer, ToolSpec

SESSIONS_PATH = "/agent-api/sessions/"

RENEWALS = 3
"""Of a run token, for one request."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often a call is repeated when no answer comes."""

    total: timedelta = timedelta(minutes=5)
    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=10)

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    between: Callable[[float, float], float] = random.uniform
    """Chooses the jitter."""

    def wait(self, attempt: int, at_least: float | None) -> float:
        """Return the seconds before the next attempt: full jitter, or what the answer asked for."""
        if at_least is not None:
            return at_least
        ceiling = min(self.longest.total_seconds(), self.first.total_seconds() * 2 ** (attempt - 1))
        return self.between(0, ceiling)


@contextlib.asynccontextmanager
async def open_client(
    *,
    django_url: str,
    signing_key: keys.SigningKey,
    transport: httpx.AsyncBaseTransport | None = None,
    patience: Patience | None = None,
    answer_within: timedelta = timedelta(minutes=2),
) -> AsyncIterator["ToolClient"]:
    """Open the one HTTP client that all runs of this process share."""
    async with http_client.Client(
        base_url=django_url,
        transport=transport,
        timeout=httpx.Timeout(answer_within.total_seconds(), connect=5),
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
    ) as http:
        opened = ToolClient(http=http, signing_key=signing_key, patience=patience or Patience())
        try:
            yield opened
        finally:
            await opened.drop_requests()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolClient:
    """Opens tool sessions; knows how to ask again."""

    http: httpx.AsyncClient
    signing_key: keys.SigningKey
    patience: Patience
    underway: set[asyncio.Task[httpx.Response]] = field(default_factory=set, init=False, repr=False)
    """Requests without an answer, those among them that nobody waits for any more."""

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request, which goes on without a caller that is cancelled.

        A request that is cancelled twice, as LangGraph cancels the siblings of a failed node, would keep its
        connection for ever (encode/httpx#3782), until none is left.

        Raises:
            HTTPError: there is no answer.
        """
        request = asyncio.create_task(self.http.request(method, path, **options))
        self.underway.add(request)
        request.add_done_callback(self._is_done)
        return await asyncio.shield(request)

    def _is_done(self, request: asyncio.Task[httpx.Response]) -> None:
        self.underway.discard(request)
        if not request.cancelled():
            # Asked for, or asyncio logs an error that nobody waited for as a fault.
            request.exception()

    async def drop_requests(self) -> None:
        """Give up what nobody waits for."""
        left = list(self.underway)
        for request in left:
            request.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def open_session(self, *, run_id: str, thread_id: str, epoch: int) -> "ToolSession":
        """Open a run's tool session as its worker.

        Raises:
            LeaseLost: a later worker has the run.
            ToolCallError: Django does not open it, or does not answer.
        """
        request = SessionCreate(run_id=uuid.UUID(run_id), thread_id=thread_id, epoch=epoch)
        return ToolSession(client=self, request=request, granted=await self.grant(request))

    async def grant(self, request: SessionCreate) -> Session:
        """Ask for a run token, the tools and the limits; the same request again renews the token."""
        response = await self.persist(lambda: self._post_session(request), run_id=str(request.run_id))
        if response.status_code != HTTPStatus.CREATED:
            raise answers.error_of(response, run_id=str(request.run_id))
        try:
            return Session.model_validate_json(response.content)
        except ValidationError as error:
            raise answers.unreadable(response, error) from None

    async def persist(self, send: Callable[[], Awaitable[httpx.Response]], *, run_id: str) -> httpx.Response:
        """Repeat a request until it is answered or patience ends; only a repeatable one may be given.

        Raises:
            ToolUnavailable: there was no answer in time.
            ToolFailed: the request cannot be sent, or the answer cannot be read.
        """
        start = self.patience.clock()

        def is_over(state: tenacity.RetryCallState) -> bool:
            spent = self.patience.clock() - start + state.upcoming_sleep
            return spent >= self.patience.total.total_seconds()

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(answers.NoAnswerError),
            wait=self._wait,
            stop=is_over,
            sleep=self.patience.sleep,
            retry_error_callback=lambda state: _give_up(state, run_id=run_id),
        )
        return await retrying(answers.receive, send)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, answers.NoAnswerError)
        return self.patience.wait(state.attempt_number, error.retry_after)

    async def _post_session(self, request: SessionCreate) -> httpx.Response:
        token = tokens.issue(
            self.signing_key,
            typ=tokens.TokenType.WORKER,
            issuer=tokens.AGENT_SERVICE,
            audience=tokens.DJANGO,
            subject=tokens.AGENT_SERVICE,
            token_id=str(uuid.uuid4()),
        )
        return await self.send(
            "POST",
            SESSIONS_PATH,
            json=request.model_dump(mode="json"),
            headers={"Authorization": f"Bearer {token}"},
        )


@dataclass(slots=True, kw_only=True)
class ToolSession:
    """One worker's right to call one run's tools. Lives in memory only."""

    client: ToolClient = field(repr=False)
    request: SessionCreate
    granted: Session = field(repr=False)
    closed: bool = field(default=False, init=False)
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    @property
    def run_id(self) -> str:
        """Django's run."""
        return str(self.request.run_id)

    @property
    def thread_id(self) -> str:
        return self.request.thread_id

    @property
    def tools(self) -> list[ToolSpec]:
        return self.granted.tools

    @property
    def limits(self) -> Limits:
        return self.granted.limits

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, key: str | None, tool_call_id: str | None = None
    ) -> ToolCallAnswer:
        """Call a tool; a write with its key, a read without one.

        Raises:
            LeaseLost: a later worker has the run.
            ToolCallError: one of its kinds, by what Django answered.
        """
        body = _encode(arguments, tool_call_id)
        path = f"/agent-api/tools/{quote(name, safe='')}/calls/"
        headers = {"Content-Type": "application/json"} | ({idempotency.HEADER: key} if key else {})
        response = await self._send("POST", path, body, headers)
        return answers.read(response, run_id=self.run_id)

    async def whole(self, answer: ToolCallAnswer) -> JsonValue:
        """Return an answer's result; one that was cut for its size is read whole, where it was kept.

        Raises:
            LeaseLost: a later worker has the run.
            ToolCallError: one of its kinds, by what Django answered.
        """
        if answer.result_id is None:
            return answer.result
        path = f"/agent-api/tools/results/{answer.result_id}/"
        response = await self._send("GET", path)
        return answers.read_result(response, run_id=self.run_id)

    async def close(self) -> None:
        """Revoke the run token. Without an answer it expires by itself."""
        self.closed = True
        crashing.point("session.before_close")
        try:
            await self.client.send(
                "DELETE", f"{SESSIONS_PATH}current/", headers=self._authorization(), timeout=5
            )
        except httpx.HTTPError as error:
            log.warning("tool_session_close_unanswered", run_id=self.run_id, reason=type(error).__name__)

    async def _send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            crashing.point("request.before_send")
            authorized = {**headers, **self._authorization()}
            answer = await self.client.send(method, path, content=body, headers=authorized)
            crashing.point("request.after_answer")
            return answer

        for _ in range(RENEWALS):
            used = self.granted
            response = await self.client.persist(send, run_id=self.run_id)
            if response.status_code != HTTPStatus.UNAUTHORIZED or self.closed:
                return response
            # Any 401 may be renewed: a parallel call's renewal revokes the token this one was sent with, and so
            # does a network that delivers the opening of a session twice.
            await self._renew(used)
        return await self.client.persist(send, run_id=self.run_id)

    async def _renew(self, used: Session) -> None:
        async with self.renewing:
            if self.granted is used:
                self.granted = await self.client.grant(self.request)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.granted.run_token}"}


def _encode(arguments: Mapping[str, Any], tool_call_id: str | None) -> bytes:
    try:
        json_values.check_storable(dict(arguments))
    except json_values.UnstorableValueError as error:
        fault = problems.FieldProblem(pointer=f"/arguments{error.pointer}", detail=error.reason)
        raise exceptions.ToolInvalidArguments(
            f"The arguments cannot be stored: {error.reason}.", [fault]
        ) from None
    body = json.dumps({"arguments": arguments, "tool_call_id": tool_call_id}, ensure_ascii=False).encode()
    if len(body) > MAX_BODY_BYTES:
        raise exceptions.ToolFailed(
            problems.ErrorCode.BODY_TOO_LARGE,
            f"The call is {len(body)} bytes large; a tool takes {MAX_BODY_BYTES} at most.",
        )
    return body


def _give_up(state: tenacity.RetryCallState, *, run_id: str) -> None:
    assert state.outcome is not None
    log.warning("tool_api_unavailable", run_id=run_id, attempts=state.attempt_number)
    raise exceptions.ToolUnavailable(
        f"Django did not answer in {state.attempt_number} attempts: {state.outcome.exception()}"
    )
