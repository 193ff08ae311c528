"""What processes cost: seconds of the processor, and memory."""

import contextlib
from collections.abc import Iterable

import psutil


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the seconds that processes and all their children have used, those that have ended included."""
    total = 0.0
    for root in roots:
        for process in _tree(root):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def kilobytes(roots: Iterable[int]) -> float:
    """Return the memory that is the processes' own."""
    return sum(psutil.Process(root).memory_full_info().uss for root in roots) / 1024


def _tree(root: int) -> list[psutil.Process]:
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]
