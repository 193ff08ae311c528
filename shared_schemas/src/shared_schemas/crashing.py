"""Named points at which a test has a process die; they cost a look into an empty dictionary.

    crashing.point("call.after_effect")

Each side arms them from its own environment, and refuses to start if they are named where that is not allowed.
"""

import os
import signal
import sys
import threading

_left: dict[str, int] = {}
"""How many passages an armed point has left; the last one kills."""

_counting = threading.Lock()


class BadPointsError(ValueError):
    """Crash points are named in another form than `name:passage,name:passage`."""


def point(name: str) -> None:
    """Die here, without warning, if this passage of the point was chosen."""
    if name in _left:
        _pass(name)


def arm(text: str) -> None:
    """Choose passages, counted from 1: `call.after_effect:3,webhook.in_apply:1`. An empty text chooses none.

    Raises:
        BadPointsError: it is not such a list.
    """
    chosen = check(text)
    _left.clear()
    _left.update(chosen)


def check(text: str) -> dict[str, int]:
    """Return the chosen passage of each named point.

    Raises:
        BadPointsError: the text is no list of them.
    """
    return dict(_parsed(part) for part in text.split(",") if part.strip())


def _parsed(part: str) -> tuple[str, int]:
    name, _, passage = part.strip().partition(":")
    if not name or not passage.isdecimal() or int(passage) < 1:
        raise BadPointsError(f"A crash point is written 'name:passage', not {part.strip()!r}.")
    return name, int(passage)


def _pass(name: str) -> None:
    with _counting:
        _left[name] -= 1
        if _left[name] == 0:
            print(f"crash point {name}", file=sys.stderr, flush=True)  # noqa: T201 - the last words of a process
            os.kill(os.getpid(), signal.SIGKILL)
