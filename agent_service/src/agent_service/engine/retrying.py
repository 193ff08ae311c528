"""How long a run waits before it is tried again."""

import random
from collections.abc import Callable
from datetime import timedelta

LONGEST = timedelta(minutes=5)


def pause(
    attempt: int,
    *,
    first: timedelta,
    asked: timedelta | None = None,
    draw: Callable[[float, float], float] = random.uniform,
) -> timedelta:
    """Return the pause behind an attempt: anything up to `first`, doubled for each one before.

    Runs that failed together do not come back together. Whoever refused may have asked for more.
    """
    ceiling = min(first * 2 ** (attempt - 1), LONGEST)
    drawn = timedelta(seconds=draw(0, ceiling.total_seconds()))
    return max(drawn, min(asked or drawn, LONGEST))
