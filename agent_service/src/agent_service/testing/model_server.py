"""A model provider that reads its answers from a script: real HTTP in the formats of three providers, no model.

`python -m agent_service.testing.model_server --port 8200` serves the shipped scripts;
`POST /control` sets latency and faults while it runs, the header `X-Scripted-Fault` for one request.
"""

import argparse
import asyncio
import contextlib
import json
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agent_service.testing import anthropic_wire, google_wire, openai_wire, responses_wire, scripts, wire

MODELS = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-careless",
    "gpt-4.1-hasty",
    "claude-sonnet-4-6",
    "gemini-3-flash-preview",
)
FAULT_HEADER = "X-Scripted-Fault"

KEEP_ALIVE = 75
"""Seconds that a connection may be idle; clients close theirs long before."""


class Control(scripts.Entry):
    """The body of `POST /control`."""

    latency: float = 0
    """Seconds before the first byte of every answer."""

    chunk_delay: float = 0
    """Seconds before every chunk of a stream, of one that is under way too."""

    faults: list[scripts.Fault] = []
    """For the next requests, one each."""


@dataclass(slots=True, kw_only=True)
class ModelServer:
    """The script and what was used of it."""

    script: scripts.Script
    control: Control = field(default_factory=Control)
    faults: deque[scripts.Fault] = field(default_factory=deque)
    used: Counter[int] = field(default_factory=Counter)
    """How many faults of each rule were used."""

    asked: Counter[str] = field(default_factory=Counter)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))
    """The latest bodies that were asked, in order."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the control is another one."""

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._speaking(openai_wire), methods=["POST"]),
                Route("/v1/responses", self._speaking(responses_wire), methods=["POST"]),
                Route("/v1/messages", self._speaking(anthropic_wire), methods=["POST"]),
                Route("/v1beta/models/{model}:{method}", self._speaking(google_wire), methods=["POST"]),
                Route("/control", self._set, methods=["POST"]),
                Route("/ok", self._ok),
            ]
        )

    def set(self, control: Control) -> None:
        """Change latency and faults from now on."""
        self.control = control
        self.faults = deque(control.faults)
        self.changed.set()
        self.changed = asyncio.Event()

    async def pause(self) -> None:
        """Wait before a chunk; another control ends the wait."""
        if not self.control.chunk_delay:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.control.chunk_delay):
                await self.changed.wait()

    async def _ok(self, _: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _models(self, _: Request) -> Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in MODELS]
        return JSONResponse({"object": "list", "data": models})

    async def _set(self, request: Request) -> Response:
        self.set(Control.model_validate_json(await request.body()))
        return Response(status_code=204)

    def _speaking(self, format_: wire.Wire) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._answer(request, format_)

        return answer

    async def _answer(self, request: Request, format_: wire.Wire) -> Response:
        body = await request.json()
        self.requests.append(body)
        try:
            question = format_.read(body, request.path_params)
            number, rule = self.script.rule_for(question.talk)
            answer = scripts.answer_of(rule, question.talk)
        except scripts.ScriptError as error:
            return JSONResponse(format_.error(400, str(error)), 400)
        fault = self._fault(request, number, rule)
        await asyncio.sleep(self.control.latency + rule.latency)
        if fault and fault.kind == "status":
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return JSONResponse(format_.error(fault.status, "Scripted fault."), fault.status, headers)
        if fault and fault.kind == "hang":
            return Hang()
        if fault and fault.kind == "answer":
            answer = fault.answer
        done = wire.completion(question, answer, repetition=self._repetition(body))
        return self._written(format_, question, _spoilt(done, fault), fault)

    def _fault(self, request: Request, number: int, rule: scripts.Rule) -> scripts.Fault | None:
        if header := request.headers.get(FAULT_HEADER):
            return scripts.Fault.model_validate_json(header)
        if self.faults:
            return self.faults.popleft()
        if self.used[number] < len(rule.faults):
            self.used[number] += 1
            return rule.faults[self.used[number] - 1]
        return None

    def _repetition(self, body: dict[str, Any]) -> int:
        asked = json.dumps(body, sort_keys=True)
        self.asked[asked] += 1
        return self.asked[asked]

    def _written(
        self, format_: wire.Wire, question: wire.Question, done: wire.Completion, fault: scripts.Fault | None
    ) -> Response:
        if question.is_streamed:
            pieces, media_type = list(format_.chunks(question, done)), "text/event-stream"
        else:
            pieces, media_type = [json.dumps(format_.whole(question, done))], "application/json"
        if fault and fault.kind == "cut":
            kept = pieces[: fault.after_chunks] if question.is_streamed else [pieces[0][:10]]
            return Pieces(kept, media_type=media_type, pause=self.pause, is_cut=True)
        return Pieces(pieces, media_type=media_type, pause=self.pause)


def base_urls(url: str) -> dict[str, str]:
    """Return where each provider's client finds a server, whose own address is `url`, with or without `/v1`."""
    root = url.removesuffix("/v1")
    return {"openai": f"{root}/v1", "anthropic": root, "google": root}


@contextlib.asynccontextmanager
async def serving(server: ModelServer) -> AsyncIterator[str]:
    """Serve on a free port of this machine, and give the base URL that OpenAI's client needs; see `base_urls`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        server.app(),
        log_level="critical",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE,
        lifespan="off",
    )
    http = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        # The socket listens already: a request that comes early waits in its backlog.
        tasks.create_task(http.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            http.should_exit = True


class Pieces(Response):
    """A body sent piece by piece, possibly never ended."""

    def __init__(
        self,
        pieces: Sequence[str],
        *,
        media_type: str,
        pause: Callable[[], Awaitable[None]],
        is_cut: bool = False,
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self.pieces = pieces
        self.pause = pause
        self.is_cut = is_cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in self.pieces:
            await self.pause()
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        # Without a last piece the server closes the connection in the middle.
        if not self.is_cut:
            await send({"type": "http.response.body", "body": b""})


class Hang(Response):
    """No answer, until the client goes away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        while (await receive())["type"] != "http.disconnect":
            pass


def _spoilt(done: wire.Completion, fault: scripts.Fault | None) -> wire.Completion:
    if fault and fault.kind == "malformed_arguments":
        return replace(done, calls=[(name, "<" + arguments) for name, arguments in done.calls])
    if fault and fault.kind == "repeated_calls":
        return replace(done, calls=done.calls * 2)
    return done


def main(arguments: Iterable[str] | None = None) -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--script", type=Path, action="append", help="instead of the shipped ones; repeatable"
    )
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    script = scripts.load(options.script) if options.script else scripts.bundled()
    uvicorn.run(
        ModelServer(script=script).app(),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE,
    )


if __name__ == "__main__":
    main()
