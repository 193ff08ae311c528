"""What happens to every request before it is routed: an id, and a body that can be read and stored."""

import json
import re
import uuid
from collections.abc import Callable

import structlog
from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_service.api import errors
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode, FieldProblem

REQUEST_ID = "x-request-id"

_USABLE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestId:
    """Echoes the caller's `x-request-id`, or makes one, and answers what nothing else caught."""

    def __init__(self, app: ASGIApp, *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        self.app = app
        self.new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = self._read(scope)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            # After the first byte only cutting the connection tells the client that something broke.
            if started:
                raise
            response = await errors.unexpected(Request(scope), error)
            await response(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    def _read(self, scope: Scope) -> str:
        given = Request(scope).headers.get(REQUEST_ID, "")
        return given if _USABLE_ID.fullmatch(given) else self.new_id()


class JsonBody:
    """Refuses a body that is too large, not JSON, or holds what PostgreSQL or a checkpoint cannot keep."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        body = await self._read(receive)
        refusal = _fault(scope, body) if body is not None else self._too_large()
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body or b"", receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self.max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> Response:
        return errors.problem(
            ErrorCode.BODY_TOO_LARGE,
            f"A body has {self.max_bytes} bytes at most.",
            headers={"Connection": "close"},
        )


def _fault(scope: Scope, body: bytes) -> Response | None:
    if not body:
        return None
    media_type = Request(scope).headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return errors.problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be 'application/json'.")
    try:
        json_values.check_storable(json.loads(body))
    except json_values.UnstorableValueError as error:
        fault = FieldProblem(pointer=error.pointer.encode(errors="replace").decode(), detail=error.reason)
        return errors.problem(ErrorCode.UNSTORABLE_VALUE, "A value cannot be stored.", errors=[fault])
    except (ValueError, RecursionError):
        return errors.problem(ErrorCode.MALFORMED_BODY, "The body is not JSON.")
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
