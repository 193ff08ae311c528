"""One scenario of the matrix, and the race of a worker that slept: both on the real processes."""

import random
import signal
import time
from collections.abc import Callable

from tests.chaos import errands, house, oracle, points

PATIENCE = 75.0
"""Seconds in which everything has to come to an end after it was started."""

CRASHES = 6
DRAIN_EVERY = 0.7
CROWDS = 30
"""At most: a machine on which hardly a run is at work when its worker is stopped proves nothing."""

SLOWLY = 8.0
"""Seconds that a model takes to answer when many runs have to be at work at one moment."""

FEW = 0.1
"""Share of a crowd: a worker that holds no more when it is stopped shows that the crowd is nearly done."""

_WAKE_ADDRESSES = "DELETE FROM webhook_addresses"
"""Django dies often from scenario to scenario: without this the worker would have stopped to send it webhooks."""

_EPOCHS = "SELECT thread_id::text, epoch FROM runs WHERE thread_id = ANY(%s::uuid[]) AND status = 'running'"
_HELD = f"{_EPOCHS} AND worker LIKE %s"


def crashing(point: points.Point, *, runs: int, seed: int) -> Callable[[house.House], oracle.Verdict]:
    """Return a point's scenario."""
    return lambda inside: crash(inside, point, runs=runs, seed=seed)


def crash(
    inside: house.House, point: points.Point, *, runs: int, seed: int, crashes: int = CRASHES
) -> oracle.Verdict:
    """Have processes die at a point while runs pass it, and judge what is left."""
    dice = random.Random(f"{seed}:{point.name}")
    began = time.monotonic()
    inside.arm(point, crashes=crashes, dice=dice)
    with errands.crowd(inside, errands.make(runs, dice)) as crowd:
        crowd.agent.execute(_WAKE_ADDRESSES)
        see_through(inside, crowd, _drainer(inside, crowd, point, dice) if point.draining else None)
        verdict = oracle.judge(oracle.Verdict(scenario=point.name, seed=seed), crowd)
    verdict.crashes = inside.crashes
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def sleepers(inside: house.House, *, trials: int, seed: int, batch: int = 120) -> oracle.Verdict:
    """Stop workers until others have their runs, and wake them; a trial is one run of a stopped worker."""
    dice = random.Random(f"{seed}:sleepers")
    verdict = oracle.Verdict(scenario="race: a worker stopped past its lease", seed=seed)
    began, slept = time.monotonic(), 0
    inside.arm(None, crashes=0, dice=dice)
    for _ in range(CROWDS):
        if slept >= trials:
            break
        with errands.crowd(inside, errands.make(batch, dice, thinking=SLOWLY)) as crowd:
            held = batch
            while slept < trials and held > FEW * batch:
                held = _sleep_over(inside, crowd, dice)
                slept += held
            see_through(inside, crowd)
            oracle.judge(verdict, crowd)
    if slept < trials:
        verdict.stuck += 1
        verdict.notes.append(f"only {slept} of {trials} runs were slept over in {CROWDS} crowds")
    verdict.runs = slept
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def _sleep_over(inside: house.House, crowd: errands.Crowd, dice: random.Random) -> int:
    """Put the busiest worker to sleep until its runs are others'; return how many those are."""
    moment = time.monotonic() + dice.uniform(1.0, 2.5)
    while time.monotonic() < moment or not crowd.has_begun:
        crowd.step()
        time.sleep(errands.TICK)
    name = max(inside.workers, key=lambda name: len(held_by(inside.pid(name), crowd)))
    inside.send(name, signal.SIGSTOP)
    try:
        held = held_by(inside.pid(name), crowd)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and held.items() & dict(epochs(crowd)).items():
            crowd.step()
            time.sleep(errands.TICK)
    finally:
        inside.send(name, signal.SIGCONT)
    return len(held)


def held_by(pid: int, crowd: errands.Crowd) -> dict[str, int]:
    return dict(crowd.agent.execute(_HELD, [crowd.run_ids, f"%:{pid}"]).fetchall())


def epochs(crowd: errands.Crowd) -> list[tuple[str, int]]:
    return crowd.agent.execute(_EPOCHS, [crowd.run_ids]).fetchall()


def _drainer(
    inside: house.House, crowd: errands.Crowd, point: points.Point, dice: random.Random
) -> Callable[[], None]:
    """Return what tells a worker to stop, now and then, while it has runs."""
    due = time.monotonic() + DRAIN_EVERY

    def drain() -> None:
        nonlocal due
        if time.monotonic() < due or inside.crashes >= inside.wanted:
            return
        due = time.monotonic() + DRAIN_EVERY
        if busy := [name for name in point.processes if held_by(inside.pid(name), crowd)]:
            inside.drain(dice.choice(busy))

    return drain


def see_through(
    inside: house.House,
    crowd: errands.Crowd,
    meanwhile: Callable[[], None] | None = None,
    *,
    patience: float = PATIENCE,
) -> None:
    """Let people and supervisor work until both sides have ended everything, or patience ends."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and not crowd.is_done:
        if meanwhile:
            meanwhile()
        inside.tend()
        crowd.step()
        time.sleep(errands.TICK)
