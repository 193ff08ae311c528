"""The agent streaming protocol over a WebSocket: subscriptions and commands on one connection."""

import asyncio
import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from agent_service import auth, bootstrap, exceptions
from agent_service.api import answers, commands, errors, protocol_streams
from agent_service.engine import failures
from shared_schemas import json_values, tokens
from shared_schemas.problems import ErrorCode

router = APIRouter(tags=["protocol"])

MAX_SUBSCRIPTIONS = 32

RESTARTING = 1012
TOO_BIG = 1009
TRY_AGAIN = 1013
NOT_FOUND = 4404
"""By 4000 and the HTTP status a client learns why, once the connection is open."""

_log = structlog.get_logger(__name__)


@router.websocket("/threads/{thread_id}/stream/events")
async def connect(websocket: WebSocket, thread_id: UUID) -> None:
    """Take commands and `subscription.subscribe`, and send what the subscriptions ask for."""
    services: bootstrap.Services = websocket.app.state.services
    state = websocket.app.state
    with ExitStack() as stack:
        try:
            token = auth.read_token(websocket.headers)
            caller = services.authenticator.authenticate(token)
            caller.require(tokens.Scope.RUNS_READ)
            stack.enter_context(state.seats.taken(thread_id, caller=caller.subject))
        except exceptions.RequestError as error:
            await websocket.send_denial_response(errors.problem(error.code, error.detail))
            return
        await websocket.accept()
        socket = Socket(websocket=websocket, services=services, caller=caller, thread_id=thread_id)
        await socket.serve(state.stopping)


class _Closed(Exception):
    """The connection ends, with this code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class Socket:
    """One client's connection."""

    websocket: WebSocket
    services: bootstrap.Services
    caller: auth.Caller
    thread_id: UUID
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _subscriptions: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _made: int = field(default=0, init=False)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Serve until the client leaves or the service stops."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_stop(stopping))
                await self._listen(tasks)
        except* WebSocketDisconnect:
            pass
        except* _Closed as group:
            closed = _first(group)
            # A client that is gone already needs no goodbye.
            with suppress(RuntimeError, WebSocketDisconnect):
                await self.websocket.close(closed.code, closed.reason)
        except* failures.PASSING:
            _log.warning("socket.database_away", exc_info=True)
            with suppress(RuntimeError, WebSocketDisconnect):
                await self.websocket.close(TRY_AGAIN)

    async def _listen(self, tasks: asyncio.TaskGroup) -> NoReturn:
        while True:
            text = await self.websocket.receive_text()
            if len(text) > self.services.settings.max_body_bytes:
                raise _Closed(TOO_BIG)
            try:
                given = json.loads(text)
                json_values.check_storable(given)
                command = commands.Command.model_validate(given)
            except (ValueError, RecursionError):
                await self._refuse(None, "invalid_argument", "A frame must be a command of the protocol.")
                continue
            await self._obey(command, tasks)

    async def _obey(self, command: commands.Command, tasks: asyncio.TaskGroup) -> None:
        match command.method:
            case "subscription.subscribe":
                await self._subscribe(command, tasks)
            case "subscription.unsubscribe":
                await self._unsubscribe(command)
            case _:
                await self._perform(command)

    async def _perform(self, command: commands.Command) -> None:
        try:
            self.caller.require(tokens.Scope.RUNS_WRITE)
            answer = await commands.perform(self.services, self.caller, self.thread_id, command)
        except exceptions.RequestError as error:
            code = "permission_denied" if error.code == ErrorCode.FORBIDDEN else "unknown_error"
            await self._refuse(command.id, code, error.detail)
            return
        await self._answer(answer)

    async def _subscribe(self, command: commands.Command, tasks: asyncio.TaskGroup) -> None:
        try:
            asked = protocol_streams.Subscription.model_validate(command.params)
        except ValidationError:
            await self._refuse(command.id, "invalid_argument", "The subscription is not valid.")
            return
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            message = f"A connection has {MAX_SUBSCRIPTIONS} subscriptions at most."
            await self._refuse(command.id, "invalid_argument", message)
            return
        try:
            await self.services.repository.thread(self.thread_id, owner=self.caller.subject)
        except exceptions.RequestError as error:
            raise _Closed(NOT_FOUND, error.detail) from None
        self._made += 1
        name = str(self._made)
        await self._answer(commands.Success(id=command.id, result={"subscription_id": name}))
        self._subscriptions[name] = tasks.create_task(self._send_events(asked))

    async def _unsubscribe(self, command: commands.Command) -> None:
        following = self._subscriptions.pop(str(command.params.get("subscription_id")), None)
        if following is None:
            await self._refuse(command.id, "no_such_subscription", "There is no such subscription.")
            return
        following.cancel()
        await self._answer(commands.Success(id=command.id, result={}))

    async def _send_events(self, asked: protocol_streams.Subscription) -> None:
        events = protocol_streams.read(
            self.services, self.thread_id, wanted=asked.filter, since=asked.since or 0
        )
        async for event in events:
            await self._send(event.wire().decode())

    async def _refuse(self, id_: int | None, code: str, message: str) -> None:
        await self._answer(commands.Refusal(id=id_, error=code, message=message))

    async def _answer(self, answer: answers.Answer) -> None:
        await self._send(answer.model_dump_json())

    async def _send(self, text: str) -> None:
        async with self._sending:
            await self.websocket.send_text(text)


async def _stop(stopping: asyncio.Event) -> None:
    await stopping.wait()
    raise _Closed(RESTARTING)


def _first(group: BaseExceptionGroup[Any]) -> Any:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
