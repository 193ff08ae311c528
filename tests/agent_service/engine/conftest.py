"""Services on a database of their own, and graphs that a test can look into and hold."""

import asyncio
import contextlib
import itertools
import operator
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from agent_service import bootstrap
from agent_service.engine import run
from agent_service.graphs import registry

OWNER = "ann"


class State(TypedDict, total=False):
    text: str
    trail: Annotated[list[Any], operator.add]


@dataclass
class Stage:
    """What a test and the nodes of its graphs share."""

    visits: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def node(self, name, returns=None):
        async def visit(state):
            self.visits.append(name)
            get_stream_writer()(name)
            return returns or {"trail": [name]}

        return name, visit

    def gate(self, name):
        async def wait(state):
            self.visits.append(name)
            get_stream_writer()(name)
            self.reached.set()
            await self.go_on.wait()
            return {"trail": [name]}

        return name, wait

    def question(self, name, *, twice=False):
        async def ask(state):
            answers = [interrupt({"question": name})]
            if twice:
                self.visits.append(f"{name} was answered {answers[0]!r}")
                answers.append(interrupt({"question": f"{name} again"}))
            return {"trail": answers}

        return name, ask

    def failure(self, name, error):
        async def fail(state):
            raise error

        return name, fail

    @staticmethod
    def chain(*nodes):
        builder = StateGraph(State)
        for name, node in nodes:
            builder.add_node(name, node)
        names = [START, *(name for name, _ in nodes), END]
        for first, second in itertools.pairwise(names):
            builder.add_edge(first, second)
        return builder

    @staticmethod
    def side_by_side(*nodes):
        builder = StateGraph(State)
        for name, node in nodes:
            builder.add_node(name, node)
            builder.add_edge(START, name)
        return builder


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
def graphs(stage):
    """Graphs by name; a test may add its own before it opens services."""
    return {
        "plain": stage.chain(stage.node("first"), stage.node("second")),
        "gated": stage.chain(stage.node("first"), stage.gate("gate"), stage.node("last")),
        "asking": stage.chain(stage.question("ask"), stage.node("after")),
        "asking_twice": stage.chain(stage.question("ask", twice=True)),
        "failing": stage.chain(stage.node("first"), stage.failure("fail", ValueError("no such thing"))),
    }


@pytest.fixture
async def open_services(settings, graphs):
    """Return a function that opens the services of one more process."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(**changes):
            transport, rules = changes.pop("transport", None), changes.pop("rules", {})
            compiled = {name: graph.compile() for name, graph in graphs.items()}
            known = registry.Registry(sources=graphs, plain=compiled, rules=rules) if graphs else None
            return await stack.enter_async_context(
                bootstrap.open_services(
                    settings.model_copy(update=changes), graphs=known, transport=transport
                )
            )

        yield open_one


@pytest.fixture
async def services(open_services):
    return await open_services()


@pytest.fixture
def open_two(open_services):
    """Return a function that opens the services of two processes, of which neither soon takes the other for dead."""

    async def open_both(**changes):
        patient = {"heartbeat_timeout": timedelta(minutes=1)} | changes
        return await open_services(**patient), await open_services(**patient)

    return open_both


@pytest.fixture
async def start_worker():
    """Return a function that starts the worker of services, and returns one that stops it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(services):
            stop = asyncio.Event()
            working = asyncio.create_task(services.worker.run(stop))

            async def finish():
                stop.set()
                await working

            stack.push_async_callback(finish)
            return finish

        yield start


@pytest.fixture
async def worker(services, start_worker):
    return await start_worker(services)


@pytest.fixture
def submission():
    """Return a function that makes a submission of a graph."""

    def make(graph="plain", thread_id=None, text="hello", **changes):
        payload = changes.pop("payload", None) or run.Payload(input={"text": text})
        return run.Submission(
            thread_id=thread_id or uuid.uuid4(),
            assistant_id=registry.assistant_id(graph),
            graph_id=graph,
            payload=payload,
            **{"owner": OWNER, "create_thread": True} | changes,
        )

    return make


@pytest.fixture
def end_of(services):
    """Return a function that waits for a run's end and returns the run."""

    async def wait(row):
        async for _ in services.events.read(row.run_id):
            pass
        return await services.repository.run(row.run_id, thread_id=row.thread_id, owner=row.owner)

    return wait


@pytest.fixture
def query(services):
    """Return a function that asks the database."""

    async def ask(statement, *values):
        async with services.pool.connection() as connection:
            cursor = await connection.execute(statement, values)
            return [tuple(row.values()) for row in await cursor.fetchall()]

    return ask
