"""Everything at once: workers die, PostgreSQL restarts, answers are cut off, requests arrive twice."""

import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stack import postgres, processes
from tests.chaos import errands, house, oracle
from tests.e2e import proxy

WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")
REPLICAS = ("agent-1", "agent-2")

KILL_EVERY = (1.0, 5.0)
RESTART_EVERY = (20.0, 60.0)
MISHAPS = 0.05
"""Share of the requests between the two sides, and of people's."""

ENDED_WITHIN = 60.0
"""Seconds after the last fault in which everything has to come to its end."""

TAKEN_OVER_WITHIN = 15.0
"""Seconds, for 99 of 100 runs."""

LONGER = 1.5
"""The storm ends after so much more than its planned time, with fewer kills."""

THINKING = 2.0
TICK = 0.1

_HELD = "SELECT run_id::text, epoch FROM runs WHERE status = 'running' AND worker LIKE %s"
_STATES = "SELECT run_id::text, status, epoch FROM runs WHERE run_id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The seconds before each fault; the same dice make the same plan."""

    kills: tuple[float, ...]
    restarts: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """How long it takes where there is always a worker to kill."""
        return sum(self.kills)


def plan(kills: int, dice: random.Random) -> Plan:
    return Plan(
        kills=tuple(dice.uniform(*KILL_EVERY) for _ in range(kills)),
        restarts=tuple(dice.uniform(*RESTART_EVERY) for _ in range(kills)),
    )


@dataclass(slots=True, kw_only=True)
class Weather:
    """Makes the faults of a plan in threads of its own, tends the house, and measures takeovers."""

    inside: house.House
    server: postgres.Server
    network: proxy.Network
    plan: Plan
    dice: random.Random
    began: float = field(default_factory=time.monotonic)
    kills: int = 0
    restarts: int = 0
    calm_since: float | None = None
    takeovers: list[float] = field(default_factory=list)
    """Seconds from a worker's death until another one had the run."""

    _orphans: dict[str, tuple[int, float]] = field(default_factory=dict)
    """The epoch of each run whose worker died, and when it did."""

    @property
    def calm(self) -> float:
        """Seconds since the last fault."""
        return 0.0 if self.calm_since is None else time.monotonic() - self.calm_since

    def kill(self, is_over: threading.Event) -> None:
        """Kill workers by the plan, and start them again, until everything is over.

        Only one that has runs in hand is killed: where starts are slow, kills wait for them.
        """
        pauses, latest = list(self.plan.kills), self.began
        with contextlib.closing(house.Database(self.inside.layout.agent_database_url)) as database:
            while not is_over.wait(TICK):
                self.inside.tend()
                self._look(database)
                if not pauses or time.monotonic() > self.began + LONGER * self.plan.seconds:
                    self._calm_down()
                elif time.monotonic() > latest + pauses[0] and self._kill_one(database):
                    pauses.pop(0)
                    latest = time.monotonic()

    def restart(self, is_over: threading.Event) -> None:
        """Restart PostgreSQL by the plan, in turns as an operator does and as a crash does."""
        for pause in self.plan.restarts:
            if is_over.wait(pause) or self.calm_since is not None:
                return
            mode = ("fast", "immediate")[self.restarts % 2]
            self.restarts += 1
            done = self.server.control("restart", "--wait", f"--mode={mode}", f"--log={self.server.log}")
            if done.returncode:
                raise postgres.PostgresError(f"PostgreSQL does not start again: {done.stderr}")

    def _calm_down(self) -> None:
        if self.calm_since is None:
            self.network.is_bad, self.calm_since = False, time.monotonic()

    def _kill_one(self, database: house.Database) -> bool:
        holding = {
            name: held
            for name in self.inside.workers
            if (held := database.execute(_HELD, [f"%:{self.inside.pid(name)}"]).fetchall())
        }
        if not holding:
            return False
        name = self.dice.choice(sorted(holding))
        self.inside.send(name, signal.SIGKILL)
        self.kills += 1
        self._orphans |= {run_id: (epoch, time.monotonic()) for run_id, epoch in holding[name]}
        return True

    def _look(self, database: house.Database) -> None:
        if not self._orphans:
            return
        for run_id, status, epoch in database.execute(_STATES, [list(self._orphans)]).fetchall():
            before, died = self._orphans[run_id]
            if epoch != before:
                self.takeovers.append(time.monotonic() - died)
                del self._orphans[run_id]
            elif status != "running":
                # It had ended just before its worker died.
                del self._orphans[run_id]

    def judge(self, verdict: oracle.Verdict) -> None:
        """Add what was measured; too many late takeovers are stuck runs."""
        times = sorted(self.takeovers)
        late = [seconds for seconds in times if seconds > TAKEN_OVER_WITHIN]
        if len(late) > len(times) / 100:
            verdict.stuck += len(late)
            verdict.notes.append(f"{len(late)} of {len(times)} takeovers were late: {late[-1]:.1f} s")
        verdict.figures = {
            "kills": self.kills,
            "restarts": self.restarts,
            "mishaps": self.network.mishaps,
            "takeovers": len(times),
            "takeover_p50": round(_percentile(times, 0.5), 1),
            "takeover_p99": round(_percentile(times, 0.99), 1),
        }


def rage(
    server: postgres.Server, addresses: house.Addresses, logs: Path, *, runs: int, kills: int, seed: int
) -> oracle.Verdict:
    """Let so many runs live through so many kills, and judge what is left."""
    dice = random.Random(f"{seed}:storm")
    verdict = oracle.Verdict(scenario=f"storm: {len(WORKERS)} workers, {len(REPLICAS)} replicas", seed=seed)
    began, planned = time.monotonic(), plan(kills, dice)
    people = errands.make(runs, dice, thinking=THINKING, every=0.95 * planned.seconds / runs)
    network = proxy.Network(dice=random.Random(f"{seed}:network"), share=MISHAPS)
    with _opened(addresses, logs, network) as (inside, url), errands.crowd(inside, people, url=url) as crowd:
        weather = Weather(inside=inside, server=server, network=network, plan=planned, dice=dice)
        ended_after_calm = _see_through(weather, crowd)
        oracle.judge(verdict, crowd)
    weather.judge(verdict)
    verdict.figures["ended_after_calm"] = round(ended_after_calm, 1)
    verdict.crashes = inside.crashes + weather.restarts
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def _see_through(weather: Weather, crowd: errands.Crowd) -> float:
    """Let people work until everything has ended, or patience has; return how long that took after the last fault."""
    is_over = threading.Event()
    with ThreadPoolExecutor() as pool:
        faults = [pool.submit(weather.kill, is_over), pool.submit(weather.restart, is_over)]
        try:
            while weather.calm < ENDED_WITHIN and not crowd.is_done:
                for fault in faults:
                    if fault.done():
                        fault.result()
                crowd.step()
                time.sleep(TICK)
            return weather.calm
        finally:
            is_over.set()


@contextlib.contextmanager
def _opened(
    addresses: house.Addresses, logs: Path, network: proxy.Network
) -> Iterator[tuple[house.House, str]]:
    """Run both sides with a bad network between them; the address is Django's for people."""
    django_port, ports = processes.free_port(), {name: processes.free_port() for name in REPLICAS}
    with _passing(network, django_port) as to_django, _passing(network, *ports.values()) as to_agents:
        url = f"http://127.0.0.1:{to_django.port}"
        layout = house.make_layout(
            addresses,
            django_port=django_port,
            agent_port=to_agents.port,
            options={"AGENT_DJANGO_URL": url},
        )
        inside = house.House(layout=layout, log_folder=logs, replicas=ports, workers=WORKERS)
        with house.living(inside):
            yield inside, url


@contextlib.contextmanager
def _passing(network: proxy.Network, *ports: int) -> Iterator[proxy.Proxy]:
    passing = proxy.Proxy(*ports, network=network)
    passing.start()
    try:
        yield passing
    finally:
        passing.stop()


def _percentile(times: list[float], share: float) -> float:
    return times[max(0, math.ceil(share * len(times)) - 1)] if times else 0.0
