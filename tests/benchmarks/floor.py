"""The floor: LangGraph alone, in a process of its own, with one saver per run on a pool.

It reads tasks as lines of JSON and answers each with a line.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks import graphs

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]


def main(url: str) -> None:
    """Do what the lines of standard input say until they end."""
    with asyncio.Runner() as runner:
        runner.run(_serve(url))


async def _serve(url: str) -> None:
    async with _pool(url) as pool:
        await AsyncPostgresSaver(pool).setup()
        while line := await asyncio.to_thread(sys.stdin.readline):
            answer = await _do(pool, **json.loads(line))
            print(json.dumps(answer), flush=True)  # noqa: T201 - read by who started it


@asynccontextmanager
async def _pool(url: str) -> AsyncIterator[Pool]:
    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=psycopg.AsyncConnection[DictRow],
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        min_size=2,
        max_size=20,
        timeout=600,
        open=False,
    )
    async with pool:
        await pool.wait()
        yield pool


async def _do(
    pool: Pool, *, graph: str, count: int, at_once: int, streamed: bool = False, thread: str | None = None
) -> dict[str, Any]:
    """Run a graph so many times, and return when each was first heard of and when it ended."""
    turns = iter(range(count))
    times: list[list[float]] = []

    async def work() -> None:
        for _ in turns:
            run = _streamed if streamed else _run
            times.append(await run(pool, graph, thread or str(uuid.uuid4())))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return {"seconds": time.perf_counter() - started, "times": times}


async def _run(pool: Pool, name: str, thread: str) -> list[float]:
    started = time.perf_counter()
    await _graph(pool, name).ainvoke(graphs.INPUTS[name], _config(thread), durability="sync")
    return [time.perf_counter() - started]


async def _streamed(pool: Pool, name: str, thread: str) -> list[float]:
    started = time.perf_counter()
    first: dict[str, float] = {}
    chunks = _graph(pool, name).astream(
        graphs.INPUTS[name], _config(thread), durability="sync", stream_mode=["values", "messages"]
    )
    async for mode, _ in chunks:
        first.setdefault(mode, time.perf_counter() - started)
    return [first["values"], first["messages"], time.perf_counter() - started]


def _graph(pool: Pool, name: str) -> Any:
    return getattr(graphs, name).copy({"checkpointer": AsyncPostgresSaver(pool)})


def _config(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


if __name__ == "__main__":
    main(sys.argv[1])
