"""What becomes of Ctrl-C, a hang-up of the terminal and `kill` while a stack is put together and taken apart."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """Let a hang-up of the terminal and `kill` end the block as Ctrl-C does: nothing is left running."""
    return _handled(_interrupt)


def deaf() -> contextlib.AbstractContextManager[None]:
    """Go on stopping, however often we are told to stop."""
    return _handled(signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let what comes in the block have its effect behind it: what was begun there is known to whoever cleans up."""
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number)):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def _handled(handler: Any) -> Iterator[None]:
    # Python tells its main thread of signals, and lets no other say what becomes of them.
    ours = ENDING if threading.current_thread() is threading.main_thread() else ()
    before: Mapping[signal.Signals, Any] = {number: signal.signal(number, handler) for number in ours}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
