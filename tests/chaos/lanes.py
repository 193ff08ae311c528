"""Scenarios side by side: each lane does one after the other, and what is found comes out as it is found."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.chaos import house, oracle

Scenario = Callable[[house.House], oracle.Verdict]
Todo = deque[Scenario]
Lane = Callable[[threading.Event], Iterator[oracle.Verdict]]
"""Ends soon after the event is set."""


def in_house(addresses: house.Addresses, logs: Path, todo: Todo) -> Lane:
    """Return a lane with a house of its own, which takes what is next while there is something to do."""

    def lane(is_closing: threading.Event) -> Iterator[oracle.Verdict]:
        with house.opened(addresses, logs, is_closing) as inside:
            while todo:
                try:
                    scenario = todo.popleft()
                except IndexError:
                    return
                yield scenario(inside)

    return lane


def in_turn(suites: Sequence[Callable[[], Iterator[oracle.Verdict]]]) -> Lane:
    """Return a lane of suites."""

    def lane(is_closing: threading.Event) -> Iterator[oracle.Verdict]:
        for suite in suites:
            for verdict in suite():
                yield verdict
                if is_closing.is_set():
                    return

    return lane


def side_by_side(*lanes: Lane) -> Iterator[oracle.Verdict]:
    """Yield what the lanes find; the first that fails ends all."""
    found: queue.SimpleQueue[oracle.Verdict | Future[None]] = queue.SimpleQueue()
    is_closing = threading.Event()

    def follow(lane: Lane) -> None:
        for verdict in lane(is_closing):
            found.put(verdict)

    with ThreadPoolExecutor(max(len(lanes), 1)) as pool:
        running = {pool.submit(follow, lane) for lane in lanes}
        for future in running:
            future.add_done_callback(found.put)
        try:
            while running:
                one = found.get()
                if isinstance(one, oracle.Verdict):
                    yield one
                else:
                    one.result()
                    running.discard(one)
        finally:
            is_closing.set()
