"""The requests that are compared: a plain insert, the same through the ledger, and a replay of that."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from shared_schemas import idempotency

TEXT = "Write a function `total(prices)` that returns the sum of the prices."

Next = Callable[[], bytes]
"""Returns the next request of a client, head and body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One client: a person's token, and a run token of a run of its own."""

    module_id: int
    person_token: str
    run_token: str

    def plain(self) -> Next:
        """Insert one record after another without the ledger."""

        def make():
            body = {"module": self.module_id, "title": uuid.uuid4().hex, "text": TEXT}
            return post("/plain/tasks/", body, f"Token {self.person_token}")

        return make

    def call(self) -> Next:
        """Insert one record after another by tool calls."""
        return self._call

    def replay(self) -> Next:
        """Send one tool call again and again."""
        request = self._call()
        return lambda: request

    def _call(self) -> bytes:
        draft = {"title": uuid.uuid4().hex, "text": TEXT}
        body = {"arguments": {"module_id": self.module_id, "tasks": [draft]}}
        headers = {idempotency.HEADER: f"tk1_{uuid.uuid4().hex}"}
        return post("/agent-api/tools/add_tasks/calls/", body, f"Bearer {self.run_token}", headers)


def get(path: str, cookie: str) -> bytes:
    """Write a request of a browser as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()


def post(path: str, body: object, authorization: str, headers: dict[str, str] | None = None) -> bytes:
    """Write a request as it goes over the wire."""
    content = json.dumps(body).encode()
    fields = {
        "Host": "127.0.0.1",
        "Authorization": authorization,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
    } | (headers or {})
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + content
