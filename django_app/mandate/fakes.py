"""An agent service for tests: the wire that Django needs, over real HTTP, and runs that end as a test says."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from shared_schemas import idempotency, keys, signatures, tokens, webhooks
from shared_schemas.problems import MEDIA_TYPE, ErrorCode, Failure, Problem

JsonObject = dict[str, Any]

_ACTIVE = frozenset({"pending", "running"})


class _Refusal(Exception):
    """The fake's answer is a problem."""

    def __init__(self, status: int, code: ErrorCode) -> None:
        super().__init__(code)
        self.problem = Problem(title="Refused", status=status, detail=f"The fake says {code}.", code=code)


@dataclass
class FakeRun:
    """One submission that was accepted."""

    run_id: str
    thread_id: str
    owner: str
    body: JsonObject
    key: str
    status: str = "pending"
    error: JsonObject | None = None
    usage: list[JsonObject] = field(default_factory=list)
    prompt_version: str | None = None
    events: list[tuple[str, Any]] = field(default_factory=list)
    webhooks: int = 0

    def answer(self) -> JsonObject:
        now = datetime.now(UTC).isoformat()
        return {
            "run_id": self.run_id,
            "thread_id": self.thread_id,
            "assistant_id": str(uuid.uuid5(uuid.NAMESPACE_URL, self.body["assistant_id"])),
            "created_at": now,
            "updated_at": now,
            "status": self.status,
            "metadata": self.body["metadata"],
            "kwargs": {},
            "multitask_strategy": "enqueue",
            "error": self.error,
            "usage": self.usage,
            "prompt_version": self.prompt_version,
        }


class FakeAgentService:
    """What it was asked, and what it is to answer."""

    def __init__(self, *, signing_key: keys.SigningKey, trusted: keys.TrustedKeys) -> None:
        self.runs: list[FakeRun] = []
        """Accepted submissions in their order."""

        self.asked: list[str] = []
        """Every request but streams, as method and path."""

        self.cancelled: list[str] = []
        self.refusing: tuple[int, ErrorCode] | None = None
        """Answer everything so."""

        self._signing_key = signing_key
        self._trusted = trusted
        self._threads: dict[str, JsonObject] = {}
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator["FakeAgentService"]:
        """Answer requests meanwhile."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            with self._changed:
                for run in self.runs:
                    run.status = "interrupted" if run.status in _ACTIVE else run.status
                self._changed.notify_all()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def submitted(self, *, count: int = 1, within: float = 60) -> list[FakeRun]:
        """Wait until so many submissions were accepted, and return what there is after at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.runs) >= count, within)
        return self.runs

    def emit(self, run: FakeRun, event: str, data: Any) -> None:
        """Add an event to a run's stream."""
        with self._changed:
            run.events.append((event, data))
            self._changed.notify_all()

    def finish(self, run: FakeRun, values: Any, *, usage: list[JsonObject] | None = None) -> None:
        """Let a run end well."""
        self._end(run, "success", thread="idle", values=values, usage=usage)

    def park(self, run: FakeRun, interrupts: dict[str, Any], *, values: Any = None) -> None:
        """Let a run end at interrupts, given as values by their ids."""
        waiting = {f"task-{name}": [{"id": name, "value": interrupts[name]}] for name in interrupts}
        self._end(run, "success", thread="interrupted", values=values, interrupts=waiting)

    def fail(self, run: FakeRun, code: ErrorCode, *, values: Any = None) -> None:
        """Let a run fail."""
        run.error = Failure(code=code, message="made to fail").model_dump(mode="json")
        self._end(run, "error", thread="error", values=values)

    def interrupt(self, run: FakeRun, *, values: Any = None) -> None:
        """Let somebody else cancel a run."""
        self._end(run, "interrupted", thread="idle", values=values)

    def webhook(self, run: FakeRun, *, at: datetime | None = None) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the webhook about a run's end."""
        run.webhooks += 1
        message = webhooks.Webhook.model_validate(
            {
                "type": "run.ended",
                "timestamp": datetime.now(UTC),
                "data": {
                    "run_id": run.run_id,
                    "thread_id": run.thread_id,
                    "mandate_run": run.body["metadata"]["mandate_run"],
                    "status": run.status,
                    "sequence": run.webhooks,
                },
            }
        )
        body = message.model_dump_json().encode()
        name = f"{run.run_id}:{run.webhooks}"
        return signatures.sign(
            self._signing_key, message_id=name, sent_at=at or datetime.now(UTC), body=body
        ), body

    def _end(
        self,
        run: FakeRun,
        status: str,
        *,
        thread: str,
        values: Any,
        interrupts: JsonObject | None = None,
        usage: list[JsonObject] | None = None,
    ) -> None:
        with self._changed:
            run.status, run.usage = status, usage or []
            self._threads[run.thread_id] |= {
                "status": thread,
                "values": values,
                "interrupts": interrupts or {},
            }
            self._changed.notify_all()

    def handle(
        self, method: str, path: list[str], owner: str, key: str, body: JsonObject
    ) -> JsonObject | None:
        """Answer a request that is no stream; nothing where it is only taken."""
        self.asked.append(f"{method} /{'/'.join(path)}")
        if self.refusing:
            raise _Refusal(*self.refusing)
        match method, path:
            case "POST", ["threads", thread_id, "runs"]:
                return self._create(thread_id, owner, key, body).answer()
            case "GET", ["threads", thread_id, "runs", run_id]:
                return self.find(thread_id, run_id, owner).answer()
            case "GET", ["threads", thread_id] if thread_id in self._threads:
                return self._threads[thread_id]
            case "POST", ["threads", thread_id, "runs", run_id, "cancel"]:
                self.cancelled.append(self.find(thread_id, run_id, owner).run_id)
                return None
        raise _Refusal(404, ErrorCode.NOT_FOUND)

    def find(self, thread_id: str, run_id: str, owner: str) -> FakeRun:
        """Return a run; those of other owners and threads are not there."""
        for run in self.runs:
            if (run.thread_id, run.run_id, run.owner) == (thread_id, run_id, owner):
                return run
        raise _Refusal(404, ErrorCode.NOT_FOUND)

    def follow(self, run: FakeRun, after: int) -> Iterator[tuple[int, str, Any]]:
        """Yield a run's events as they come, until it has ended."""
        while True:
            with self._changed:
                while len(run.events) <= after and run.status in _ACTIVE:
                    self._changed.wait()
                coming, ended = run.events[after:], run.status not in _ACTIVE
            for number, (event, data) in enumerate(coming, start=after + 1):
                yield number, event, data
            after += len(coming)
            if ended and len(run.events) == after:
                return

    def owner_of(self, authorization: str) -> str:
        """Return whom a request acts for."""
        _, claims = tokens.verify(
            authorization.removeprefix("Bearer "),
            types=frozenset({tokens.TokenType.SERVICE}),
            audience=tokens.AGENT_SERVICE,
            trusted=self._trusted,
        )
        return claims.sub

    def _create(self, thread_id: str, owner: str, key: str, body: JsonObject) -> FakeRun:
        for run in self.runs:
            if run.key == key:
                if run.body != body:
                    raise _Refusal(422, ErrorCode.IDEMPOTENCY_KEY_REUSED)
                return run
        now = datetime.now(UTC).isoformat()
        thread: JsonObject = {"thread_id": thread_id, "values": None, "interrupts": {}, "metadata": {}}
        self._threads.setdefault(thread_id, thread | {"created_at": now, "updated_at": now})
        self._threads[thread_id]["status"] = "busy"
        run = FakeRun(run_id=str(uuid.uuid4()), thread_id=thread_id, owner=owner, body=body, key=key)
        with self._changed:
            self.runs.append(run)
            self._changed.notify_all()
        return run


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """As many may come at once; beyond it a connection is only tried again after a second."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(body) if body else {})

    def _answer(self, body: JsonObject) -> None:
        fake = cast("FakeAgentService", self.server.fake)  # type: ignore[attr-defined]
        path = self.path.partition("?")[0].strip("/").split("/")
        try:
            owner = fake.owner_of(self.headers.get("Authorization", ""))
            if path[-1] == "stream" and not fake.refusing:
                self._stream(fake, fake.find(path[1], path[3], owner))
                return
            answer = fake.handle(self.command, path, owner, self.headers.get(idempotency.HEADER, ""), body)
        except tokens.InvalidTokenError:
            self._refuse(_Refusal(401, ErrorCode.UNAUTHENTICATED))
        except _Refusal as refusal:
            self._refuse(refusal)
        else:
            self._send(202 if answer is None else 200, json.dumps(answer) if answer else "")

    def _refuse(self, refusal: _Refusal) -> None:
        self._send(refusal.problem.status, refusal.problem.model_dump_json(), media_type=MEDIA_TYPE)

    def _send(self, status: int, answer: str, *, media_type: str = "application/json") -> None:
        content = answer.encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, fake: FakeAgentService, run: FakeRun) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        after = max(int(self.headers.get("Last-Event-ID", "-1")), 0)
        for number, event, data in fake.follow(run, after):
            self.wfile.write(f"event: {event}\ndata: {json.dumps(data)}\nid: {number}\n\n".encode())
        self.wfile.write(b"event: end\ndata: null\n\n")
