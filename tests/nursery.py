"""Processes that are forked from one that has imported everything: what dies hundreds of times is soon there again.

`start` takes what `stack.processes.start` takes. What runs is the same command with the same environment and log,
in a process and a group of its own; only its libraries were loaded before.
"""

import contextlib
import multiprocessing
import os
import runpy
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil

from stack import processes

LOADED = (
    # The agent service with what its graphs import when it starts.
    "agent_service.__main__",
    "agent_service.providers.openai",
    "langchain.agents",
    "langgraph.graph",
    "openai.resources.beta.beta",
    # Of Django, what needs no settings.
    "uvicorn.main",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "django.core.management",
    "django.core.handlers.asgi",
    "django.db.backends.postgresql.base",
    "django.contrib.auth.hashers",
    "rest_framework.exceptions",
    "rest_framework.status",
)

_SET_OFF_WITHIN = 60.0
"""Seconds that a forked process has to lead its own group."""

_GONE = 0.0
"""When a process started that has died, and was forgotten, before anybody looked."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(LOADED))

_one_at_a_time = threading.Lock()
"""`multiprocessing` looks after all children whenever it is asked about one."""


@dataclass(frozen=True, slots=True)
class Child:
    """Answers as a `subprocess.Popen` does."""

    process: ForkServerProcess

    def poll(self) -> int | None:
        with _one_at_a_time:
            return self.process.exitcode

    def wait(self) -> int:
        with _one_at_a_time:
            self.process.join()
            code = self.process.exitcode
        assert code is not None
        return code


def start(
    name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_folder: Path
) -> processes.Process:
    """Start `python -m module ...` or `python script.py ...` in a group of its own."""
    log = log_folder / f"{name}.log"
    arguments = (tuple(command[1:]), dict(env), cwd, log)
    with _one_at_a_time:
        child = _context.Process(target=_become, args=arguments, name=name, daemon=True)
        child.start()
    assert child.pid is not None
    return processes.Process(
        name=name, pid=child.pid, started=_set_off(name, child.pid), log=log, child=Child(child)
    )


def _set_off(name: str, pid: int) -> float:
    """Wait until a process leads its own group, and return when it started; it may be dead by then."""
    deadline = time.monotonic() + _SET_OFF_WITHIN
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        started = psutil.Process(pid).create_time()
        while os.getpgid(pid) != pid:
            if time.monotonic() > deadline:
                raise processes.ProcessError(f"{name} did not begin within {_SET_OFF_WITHIN:.0f} s")
            time.sleep(0.001)
        return started
    return _GONE


def _become(arguments: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
    """Turn this fork into what the command would have started."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    _redirect(log)
    sys.path[:0] = [str(cwd), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def _redirect(log: Path) -> None:
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(nothing, 0)
    for number in (1, 2):
        os.dup2(output, number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0),
        os.fdopen(1, "w", buffering=1),
        os.fdopen(2, "w", buffering=1),
    )
