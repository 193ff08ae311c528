"""Starts processes of the stack with a log each, waits until they answer, and stops them by pid."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import psutil

STOP_WITHIN = 20.0
"""Seconds that a process has to end after SIGTERM before it is killed."""

_PORTS = iter(secrets.SystemRandom().sample(range(20_000, 32_768), 2_000))
"""Linux gives none of them to who connects, or listens on any; each process has an order of its own."""

LOG_TAIL = 40
"""Lines of a log that a failure shows."""


class ProcessError(Exception):
    """A process ended or did not become ready; the message ends with the last lines of its log."""


class Child(Protocol):
    """Whoever started a process learns from it how it ended."""

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; nothing while it runs."""

    def wait(self) -> int:
        """Return it when there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A started process. The time it started tells it from a later one with the same pid."""

    name: str
    pid: int
    started: float
    log: Path
    child: Child | None = field(default=None, repr=False, compare=False)
    """The handle of the process that started it; there is none after `make up` has returned."""

    def running(self) -> psutil.Process | None:
        """Return the live process, if it is still this one."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            if found.create_time() == self.started and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


def start(
    name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_folder: Path
) -> Process:
    """Start a process in a group of its own, so that an interrupt at the terminal is ours to pass on."""
    log = log_folder / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(popen.pid).create_time()
    return Process(name=name, pid=popen.pid, started=started, log=log, child=popen)


def run(name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_folder: Path) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        ProcessError: it did not exit with 0.
    """
    done = subprocess.run(
        command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    with (log_folder / f"{name}.log").open("a") as output:
        output.write(done.stdout + done.stderr)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-LOG_TAIL:])
        raise ProcessError(f"{name} exited with {done.returncode}:\n{end}")
    return done.stdout


def wait_until_ready(process: Process, url: str, *, within: float = 60.0) -> None:
    """Return when the address answers 200.

    Raises:
        ProcessError: the process ended first, or the time is over.
    """
    deadline = time.monotonic() + within
    with httpx.Client(timeout=2) as client:
        while time.monotonic() < deadline:
            if process.running() is None:
                raise ProcessError(f"{process.name} ended before it was ready:\n{process.tail()}")
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
    raise ProcessError(f"{process.name} did not answer at {url} within {within:.0f} s:\n{process.tail()}")


def stop(*processes: Process) -> None:
    """End processes, all at once: SIGTERM, and SIGKILL for one that does not listen."""
    running = [found for process in processes if (found := process.running())]
    for found in running:
        _signal_group(found.pid, signal.SIGTERM)
    _, deaf = psutil.wait_procs(running, timeout=STOP_WITHIN)
    for found in deaf:
        _signal_group(found.pid, signal.SIGKILL)
    psutil.wait_procs(deaf, timeout=STOP_WITHIN)
    _reap(*processes)


def kill(process: Process) -> None:
    """End a process without warning, as a crash would."""
    if found := process.running():
        _signal_group(found.pid, signal.SIGKILL)
        psutil.wait_procs([found], timeout=STOP_WITHIN)
    _reap(process)


def free_port() -> int:
    """Return a port of the loopback address that nobody has, another one each time.

    While this process lives it holds the same port of UDP, so that no other is given this one.

    Raises:
        ProcessError: there is none left.
    """
    for port in _PORTS:
        with (
            socket.socket() as probe,
            socket.socket(type=socket.SOCK_DGRAM) as claim,
            contextlib.suppress(OSError),
        ):
            probe.bind(("127.0.0.1", port))
            claim.bind(("127.0.0.1", port))
            claim.detach()  # open as long as this process lives
            return port
    raise ProcessError("There is no free port left.")


def port_is_taken(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _reap(*processes: Process) -> None:
    for process in processes:
        if process.child is not None:
            process.child.poll()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
