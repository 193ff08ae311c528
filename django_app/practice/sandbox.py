"""Runs a solution against its tests, apart from everything, and says what came of it."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from practice import schemas
from shared_schemas import json_values

CHILD = Path(__file__).with_name("sandbox_child.py")
SHOWN = 5
"""How many failures a verdict names."""

LONGEST = 1000
"""Characters of a wrong value that a verdict repeats."""

GRACE = 3.0
"""Seconds that the child process has to start and to report, beside the solution's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one solution may use, for all its tests together."""

    wall: float = 5.0
    """Seconds."""

    memory: int = 256 * 1024 * 1024
    """Bytes of address space."""

    output: int = 64 * 1024
    """Bytes that it may print, and bytes that its answers may take."""


class _Fact(BaseModel):
    """One line of the child process; the solution may have written it."""

    isolation: str = "unknown"
    late: bool = False
    begun: int | None = None
    case: int | None = None
    value: Any = None
    error: str | None = None
    memory: bool = False
    broken: str | None = None


@dataclass(slots=True)
class _Heard:
    """What the child process said."""

    results: bytearray = field(default_factory=bytearray)
    printed: int = 0
    stopped: schemas.Outcome | None = None
    """Why we ended it, where it did not end by itself."""

    def facts(self) -> Iterator[_Fact]:
        for line in bytes(self.results).splitlines():
            with contextlib.suppress(ValueError, RecursionError):  # a line may be cut, or the solution's own
                yield _Fact.model_validate(json.loads(line))


def verify(
    solution: str, tests: Sequence[schemas.TaskTest], *, limits: Limits | None = None
) -> schemas.Verdict:
    """Run a solution in a process of its own and compare its answers with the tests.

    The expected values never leave this process: a solution cannot look them up.
    """
    allowed = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="practice-") as room:
        job = {
            "solution": solution,
            "inputs": [test.input for test in tests],
            "room": room,
            "wall": allowed.wall,
            "memory": allowed.memory,
        }
        heard = _run(json.dumps(job).encode(), room=room, limits=allowed)
    return _judge(list(heard.facts()), tests=tests, stopped=heard.stopped)


def _run(job: bytes, *, room: str, limits: Limits) -> _Heard:
    process = subprocess.Popen(  # noqa: S603 - our own program; the solution is data to it
        # The interpreter itself, not the environment's link to it: no package is in reach.
        [os.path.realpath(sys.executable), "-I", "-S", "-B", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=room,
        env={},
        start_new_session=True,
    )
    with process:
        try:
            return _listen(process, job, limits=limits)
        finally:
            _end(process)


def _listen(process: subprocess.Popen[bytes], job: bytes, *, limits: Limits) -> _Heard:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    heard = _Heard()
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(job)
    deadline = time.monotonic() + limits.wall + GRACE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map() and heard.stopped is None:
            ready = selector.select(timeout=deadline - time.monotonic())
            if not ready:
                heard.stopped = schemas.Outcome.TIME_LIMIT
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    heard.results += data
                else:
                    heard.printed += len(data)
            if max(heard.printed, len(heard.results)) > limits.output:
                heard.stopped = schemas.Outcome.OUTPUT_LIMIT
    return heard


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the child end its solution, then end whatever is left of the group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _judge(
    facts: Sequence[_Fact], *, tests: Sequence[schemas.TaskTest], stopped: schemas.Outcome | None
) -> schemas.Verdict:
    answers = {fact.case: fact for fact in facts if fact.case is not None}
    answered = [(answers[number], test) for number, test in enumerate(tests) if number in answers]
    failures = [failure for fact, test in answered if (failure := _failure_of(fact, test=test))]
    if broken := [fact.broken for fact in facts if fact.broken is not None]:
        failures.append(schemas.Failure(outcome=schemas.Outcome.BROKEN, message=_storable_text(broken[0])))
    elif stopped or len(answered) < len(tests):
        ending = schemas.Outcome.TIME_LIMIT if facts and facts[-1].late else schemas.Outcome.DIED
        failures.append(_cut_short(stopped or ending, test=tests[min(len(answered), len(tests) - 1)]))
    return schemas.Verdict(
        passed=not failures,
        tests=len(tests),
        failures=failures[:SHOWN],
        isolation=facts[0].isolation if facts else "unknown",
    )


def _failure_of(fact: _Fact, *, test: schemas.TaskTest) -> schemas.Failure | None:
    if fact.error is not None:
        return schemas.Failure(
            outcome=schemas.Outcome.MEMORY_LIMIT if fact.memory else schemas.Outcome.RAISED,
            message="It needs more memory than it may use." if fact.memory else _storable_text(fact.error),
            input=test.input,
            expected=test.expected,
        )
    if _same(fact.value, test.expected):
        return None
    return schemas.Failure(
        outcome=schemas.Outcome.WRONG_ANSWER,
        message="It gives another value than the test expects.",
        input=test.input,
        expected=test.expected,
        actual=_storable(fact.value),
    )


def _same(actual: JsonValue, expected: JsonValue) -> bool:
    """Compare as JSON does: 1 is 1.0, and neither is true."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(_same(actual[key], expected[key]) for key in actual)
    if isinstance(actual, float) and isinstance(expected, int | float):
        return abs(actual - expected) <= 1e-9 * max(abs(actual), abs(expected))
    return actual == expected


def _cut_short(outcome: schemas.Outcome, *, test: schemas.TaskTest) -> schemas.Failure:
    message = {
        schemas.Outcome.TIME_LIMIT: "It was stopped: it takes longer than it may.",
        schemas.Outcome.OUTPUT_LIMIT: "It was stopped: it prints or returns more than it may.",
        schemas.Outcome.DIED: "Its process ended before all tests were done.",
    }[outcome]
    return schemas.Failure(outcome=outcome, message=message, input=test.input, expected=test.expected)


def _storable(value: JsonValue) -> JsonValue:
    """Return a value that fits the database and a reader, or what can be shown of it."""
    try:
        json_values.check_storable(value)
    except json_values.UnstorableValueError:
        return ascii(value)[:LONGEST]
    text = json_values.canonical(value)
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _storable_text(text: str) -> str:
    return str(_storable(text))
