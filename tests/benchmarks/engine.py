"""Runs by the agent service beside LangGraph alone on the same PostgreSQL, with the same graphs.

The sides take turns in short rounds, so that a busy machine is as busy for each, and medians are compared.
"""

import asyncio
import functools
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import client, figures, measuring, service
from tests.benchmarks.figures import Figure, at_least, at_most

STEPS = (50, 200, 1000)

TARGETS: dict[str, figures.Target | None] = {
    "runs.cpu.agent": at_most(1.25),
    "runs.cpu.noop4": at_most(1.5),
    "runs.cpu.streamed": at_most(1.5),
    "runs.idle.agent": at_most(1.6),
    "runs.idle.noop4": at_most(1.6),
    "stream.first_event": at_most(1.6),
    "stream.first_token": at_most(1.6),
    "runs.throughput.agent": at_least(0.9),
    "runs.throughput.noop4": at_least(0.9),
    "inflight.500.wall": at_most(1.2),
    "inflight.2000.failed": at_most(0),
    "inflight.2000.kb_per_run": at_most(150),
    "parked.2000.kb_per_run": at_most(1),
    "parked.2000.connections": at_most(0),
    "submit.p99": at_most(3),
    **{
        f"growth.{which}.{steps}.{what}": None
        for which in ("pruned", "kept")
        for steps in STEPS
        for what in ("bytes", "time")
    },
}

AT_ONCE = 16
CLIENTS = 64
SETTLED = 0.4
"""Seconds after which nothing follows from a run that has ended."""


def run(folder: Path, wanted: frozenset[str], report: figures.Report, *, rounds: int = 5) -> None:
    """Measure those of the figures that are wanted."""

    def measure(names: Sequence[str], subject: Callable[[], list[Figure]]) -> None:
        if wanted.intersection(names):
            report([figure for figure in subject() if figure.name in wanted])

    with service.running(folder, rounds=rounds) as system:
        # The floor knows no pruning: one conversation of its own stands beside both of ours.
        talked = functools.cache(lambda: _growth_of_floor(system))
        measure(["submit.p99"], lambda: _submit(system))
        with system.working(AGENT_PRUNE_CHECKPOINTS="always"):
            measure(_growth_names("pruned"), lambda: _growth(system, "pruned", talked()))
        with system.working():
            _warm(system)
            for graph in ("agent", "noop4", "streamed"):
                measure([f"runs.cpu.{graph}"], lambda graph=graph: _cpu(system, graph))
            for graph in ("agent", "noop4"):
                measure([f"runs.idle.{graph}"], lambda graph=graph: _idle(system, graph))
            measure(["stream.first_event", "stream.first_token"], lambda: _streams(system))
            for graph in ("agent", "noop4"):
                measure([f"runs.throughput.{graph}"], lambda graph=graph: _throughput(system, graph))
            measure(["inflight.500.wall"], lambda: _waiting(system))
            measure(["parked.2000.kb_per_run", "parked.2000.connections"], lambda: _parked(system))
            measure(["inflight.2000.failed", "inflight.2000.kb_per_run"], lambda: _held(system))
            measure(_growth_names("kept"), lambda: _growth(system, "kept", talked()))


def _warm(system: service.System) -> None:
    for graph in ("agent", "noop4"):
        system.floor.run(graph, 10)
        asyncio.run(_submitted(system, graph, 10))
    for _ in range(3):
        system.floor.run("streamed", 1, streamed=True)
        asyncio.run(_each(system, 1, lambda one: one.stream("streamed")))
    system.wait_until_done()


def _cpu(system: service.System, graph: str) -> list[Figure]:
    streamed = graph == "streamed"
    count = 48 if streamed else 80
    idle = _idle_cpu(system)
    ours: list[float] = []
    floor: list[float] = []

    def work() -> None:
        if streamed:
            asyncio.run(_each(system, count, lambda one: one.stream(graph)))
        else:
            asyncio.run(_submitted(system, graph, count))
            system.wait_until_done()

    def work_of_floor() -> None:
        system.floor.run(graph, count, at_once=AT_ONCE, streamed=streamed)

    for _ in range(system.rounds):
        floor.append(_cost(system, work_of_floor, idle) / count)
        ours.append(_cost(system, work, idle) / count)
    name = f"runs.cpu.{graph}"
    return [figures.compared(name, _ms(ours), _ms(floor), unit="ms")]


def _cost(system: service.System, work: Callable[[], object], idle: float) -> float:
    before, started = system.cpu(), time.perf_counter()
    work()
    time.sleep(SETTLED)
    return system.cpu() - before - idle * (time.perf_counter() - started)


def _idle_cpu(system: service.System, seconds: float = 3) -> float:
    before, started = system.cpu(), time.perf_counter()
    time.sleep(seconds)
    return (system.cpu() - before) / (time.perf_counter() - started)


def _idle(system: service.System, graph: str) -> list[Figure]:
    async def one_after_the_other() -> list[float]:
        times = []
        async with client.Client.open(system.layout.agent_port, system.token()) as one:
            for _ in range(20):
                started = time.perf_counter()
                await one.join(await one.create(graph))
                times.append(time.perf_counter() - started)
                await asyncio.sleep(0.03)
        return times

    ours: list[float] = []
    floor: list[float] = []
    for _ in range(system.rounds):
        floor += [took for (took,) in system.floor.run(graph, 20)["times"]]
        ours += asyncio.run(one_after_the_other())
    return [figures.compared(f"runs.idle.{graph}", _ms(ours), _ms(floor), unit="ms")]


def _streams(system: service.System) -> list[Figure]:
    ours: list[list[float]] = []
    floor: list[list[float]] = []
    for _ in range(system.rounds):
        floor += system.floor.run("streamed", 8, streamed=True)["times"]
        ours += asyncio.run(_each(system, 8, lambda one: one.stream("streamed"), at_once=1))
    return [
        figures.compared(
            name, _ms([each[place] for each in ours]), _ms([each[place] for each in floor]), unit="ms"
        )
        for place, name in enumerate(("stream.first_event", "stream.first_token"))
    ]


def _throughput(system: service.System, graph: str) -> list[Figure]:
    count = 4 * CLIENTS
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(system.rounds):
        floor.append(count / system.floor.run(graph, count, at_once=CLIENTS)["seconds"])
        started = time.perf_counter()
        asyncio.run(_each(system, count, lambda one: one.wait(graph), at_once=CLIENTS))
        ours.append(count / (time.perf_counter() - started))
        time.sleep(SETTLED)
    name = f"runs.throughput.{graph}"
    return [figures.compared(name, statistics.median(ours), statistics.median(floor), unit="1/s")]


def _waiting(system: service.System) -> list[Figure]:
    graph, count = "agent_waiting", 500
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(2):
        floor.append(system.floor.run(graph, count, at_once=count)["seconds"])
        started = time.perf_counter()
        asyncio.run(_submitted(system, graph, count))
        system.wait_until_done()
        ours.append(time.perf_counter() - started)
        time.sleep(2 * SETTLED)
    return [figures.compared("inflight.500.wall", min(ours), min(floor), unit="s")]


def _held(system: service.System) -> list[Figure]:
    count = 2000
    before = measuring.kilobytes(system.ours())
    asyncio.run(_submitted(system, "agent_held", count))
    highest = before
    with system.connection() as connection:
        query = "SELECT count(*) FROM runs WHERE status = %s"
        failed = connection.execute(query, ("error",)).fetchone()[0]
        while connection.execute(
            "SELECT EXISTS (SELECT FROM runs WHERE status IN ('pending', 'running'))"
        ).fetchone()[0]:
            highest = max(highest, measuring.kilobytes(system.ours()))
            time.sleep(0.5)
        failed = connection.execute(query, ("error",)).fetchone()[0] - failed
    per_run = (highest - before) / count
    return [
        Figure(name="inflight.2000.failed", value=failed, unit="runs"),
        Figure(name="inflight.2000.kb_per_run", value=round(per_run, 1), unit="KB"),
    ]


def _parked(system: service.System) -> list[Figure]:
    count = 2000

    def park() -> None:
        asyncio.run(_submitted(system, "parking", count))
        system.wait_until_done()
        time.sleep(3)

    park()  # what a process keeps once for all is there afterwards
    memory, connections = measuring.kilobytes(system.ours()), system.connections()
    park()
    per_run = (measuring.kilobytes(system.ours()) - memory) / count
    return [
        Figure(name="parked.2000.kb_per_run", value=round(per_run, 2), unit="KB"),
        Figure(name="parked.2000.connections", value=max(system.connections() - connections, 0), unit=""),
    ]


def _submit(system: service.System) -> list[Figure]:
    """Submit without a worker, whose runs would take the processor from both."""
    ours: list[float] = []
    floor: list[float] = []
    with service.plain_endpoint(system) as port:
        for _ in range(system.rounds + 1):
            floor.append(_p99(asyncio.run(_timed_submissions(system, port))))
            ours.append(_p99(asyncio.run(_timed_submissions(system, system.layout.agent_port))))
    with system.connection() as connection:
        connection.execute("TRUNCATE runs, threads, pgqueuer, pgqueuer_log CASCADE")
    return [figures.compared("submit.p99", _ms(ours[1:]), _ms(floor[1:]), unit="ms")]


async def _timed_submissions(system: service.System, port: int) -> list[float]:
    times = []

    async def submit(one: client.Client) -> None:
        started = time.perf_counter()
        await one.create("noop4")
        times.append(time.perf_counter() - started)

    await _each(system, 600, submit, port=port)
    return times


def _growth(system: service.System, which: str, floor: dict[int, tuple[float, float]]) -> list[Figure]:
    thread = str(uuid.uuid4())
    found = []
    done = 0
    for steps in STEPS:
        times = asyncio.run(_talk(system, thread, steps - done))[-20:]
        time.sleep(SETTLED)
        done = steps
        floor_bytes, floor_ms = floor[steps]
        size = _bytes(system, "agent", thread) / steps
        found += [
            figures.compared(f"growth.{which}.{steps}.bytes", size, floor_bytes, unit="B"),
            figures.compared(f"growth.{which}.{steps}.time", _ms(times), floor_ms, unit="ms"),
        ]
    return found


def _growth_of_floor(system: service.System) -> dict[int, tuple[float, float]]:
    """Return the bytes and milliseconds of a step after so many."""
    thread = str(uuid.uuid4())
    found = {}
    done = 0
    for steps in STEPS:
        system.floor.run("talk", steps - 20 - done, thread=thread)
        times = [took for (took,) in system.floor.run("talk", 20, thread=thread)["times"]]
        done = steps
        found[steps] = (_bytes(system, "floor", thread) / steps, _ms(times))
    return found


def _growth_names(which: str) -> list[str]:
    return [name for name in TARGETS if name.startswith(f"growth.{which}.")]


async def _talk(system: service.System, thread: str, steps: int) -> list[float]:
    times = []
    while len(times) < steps:
        async with client.Client.open(system.layout.agent_port, system.token()) as one:
            for _ in range(min(100, steps - len(times))):
                started = time.perf_counter()
                await one.talk(thread, "talk")
                times.append(time.perf_counter() - started)
    return times


def _bytes(system: service.System, database: str, thread: str) -> int:
    """Return what a thread's checkpoints take, without the tables' free room."""
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    with system.connection(database) as connection:
        return sum(
            connection.execute(
                f"SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {table} t WHERE thread_id = %s", (thread,)
            ).fetchone()[0]
            for table in tables
        )


async def _submitted(system: service.System, graph: str, count: int) -> None:
    await _each(system, count, lambda one: one.create(graph))


async def _each(system, count, action, *, at_once=AT_ONCE, port=None):
    """Do something so often, by so many clients at once, and return what each time gave."""
    turns = iter(range(count))
    given = []

    async def work() -> None:
        async with client.Client.open(port or system.layout.agent_port, system.token()) as one:
            given.extend([await action(one) for _ in turns])

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return given


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[-1]


def _ms(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000
