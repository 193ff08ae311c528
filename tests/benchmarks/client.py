"""A client of the LangGraph Server API that costs little, on one connection that it keeps."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from tests.benchmarks import graphs
from tests.benchmarks.load import UnexpectedAnswerError

LONGEST_LINE = 2**24


@dataclass(slots=True, kw_only=True)
class Client:
    """One connection; one request after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, token: str) -> AsyncIterator[Self]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_LINE)
        try:
            yield cls(reader=reader, writer=writer, token=token)
        finally:
            writer.close()
            await writer.wait_closed()

    async def create(self, graph: str) -> dict[str, Any]:
        """Start a run in the background, on a thread of its own."""
        return json.loads(await self.post(f"/threads/{uuid.uuid4()}/runs", run_of(graph)))

    async def join(self, run: dict[str, Any]) -> bytes:
        """Wait for a run's result."""
        await self._send("GET", f"/threads/{run['thread_id']}/runs/{run['run_id']}/join")
        return b"".join([part async for part in self._answer()])

    async def wait(self, graph: str) -> bytes:
        """Start a run and wait for its result."""
        return await self.talk(str(uuid.uuid4()), graph)

    async def talk(self, thread: str, graph: str) -> bytes:
        """Start a run on a thread and wait for its result."""
        return await self.post(f"/threads/{thread}/runs/wait", run_of(graph))

    async def stream(self, graph: str) -> list[float]:
        """Stream a run; return after how long its first event came, its first token, and its end."""
        started = time.perf_counter()
        body = run_of(graph) | {"stream_mode": ["values", "messages-tuple"]}
        await self._send("POST", f"/threads/{uuid.uuid4()}/runs/stream", body)
        first: dict[bytes, float] = {}
        async for part in self._answer():
            now = time.perf_counter() - started
            first.setdefault(b"", now)
            if b"event: messages" in part:
                first.setdefault(b"messages", now)
        return [first[b""], first[b"messages"], time.perf_counter() - started]

    async def post(self, path: str, body: object) -> bytes:
        await self._send("POST", path, body)
        return b"".join([part async for part in self._answer()])

    async def _send(self, method: str, path: str, body: object = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        )
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await self.writer.drain()

    async def _answer(self) -> AsyncIterator[bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        is_good = status.startswith("http/1.1 20")
        if "content-length" in fields:
            body = await self.reader.readexactly(int(fields["content-length"]))
            if not is_good:
                raise UnexpectedAnswerError((head + body).decode(errors="replace"))
            yield body
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            part = await self.reader.readexactly(size)
            if b"__error__" in part or b"event: error" in part:
                raise UnexpectedAnswerError(part.decode(errors="replace"))
            yield part
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)


def run_of(graph: str) -> dict[str, Any]:
    """Return the body that creates a run, and its thread."""
    return {"assistant_id": graph, "input": graphs.INPUTS[graph], "if_not_exists": "create"}
