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
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Fact(BaseModel):
    """One line of the child process; a Python solution may have written it."""

    isolation: str = "unknown"
    late: bool = False
    begun: int | None = None
    case: int | None = None
    value: Any = None
    error: str | None = None
    memory: bool = False
    forbidden: bool = False
    broken: str | None = None


@dataclass(slots=True)
class Heard:
    """What the child process said."""

    results: bytearray = field(default_factory=bytearray)
    printed: int = 0
    stopped: schemas.Outcome | None = None
    """Why we ended it, where it did not end by itself."""

    def facts(self) -> Iterator[Fact]:
        for line in bytes(self.results).splitlines():
            with contextlib.suppress(ValueError, RecursionError):  # a line may be cut, or the solution's own
                yield Fact.model_validate(json.loads(line))


def verify(
    solution: str,
    tests: Sequence[schemas.TaskTest | schemas.PropertyTest],
    *,
    limits: Limits | None = None,
) -> schemas.Verdict:
    """Run a Python solution in a process of its own and compare its answers with the tests.

    The expected values never leave this process: a solution cannot look them up.
    """
    allowed = limits or Limits()
    heard = run({"solution": solution, "inputs": [test.input for test in tests]}, limits=allowed)
    facts = list(heard.facts())
    return _judge(facts, tests=tests, stopped=heard.stopped, held=_properties(facts, tests, limits=allowed))


def run(job: Mapping[str, Any], *, limits: Limits) -> Heard:
    """Give a job to a process of its own, and return what it said."""
    with tempfile.TemporaryDirectory(prefix="practice-") as room:
        whole = {**job, "room": room, "wall": limits.wall, "memory": limits.memory}
        return _run(json.dumps(whole).encode(), room=room, limits=limits)


def _properties(
    facts: Sequence[Fact], tests: Sequence[schemas.TaskTest | schemas.PropertyTest], *, limits: Limits
) -> dict[int, Fact]:
    """Ask whether the values have their properties, in a process that the solution was never in."""
    given = {fact.case: fact.value for fact in facts if fact.case is not None and fact.error is None}
    asked = {
        case: f"bool((lambda result: (\n{test.holds}\n))({given[case]!r}))"
        for case, test in enumerate(tests)
        if case in given and isinstance(test, schemas.PropertyTest)
    }
    if not asked:
        return {}
    heard = run({"solution": "", "inputs": list(asked.values())}, limits=limits)
    said = {fact.case: fact for fact in heard.facts() if fact.case is not None}
    lost = Fact(error="It could not be told: the check took longer or more than it may.")
    return {case: said.get(number, lost) for number, case in enumerate(asked)}


def _run(job: bytes, *, room: str, limits: Limits) -> Heard:
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


def _listen(process: subprocess.Popen[bytes], job: bytes, *, limits: Limits) -> Heard:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    heard = Heard()
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
    facts: Sequence[Fact],
    *,
    tests: Sequence[schemas.TaskTest | schemas.PropertyTest],
    stopped: schemas.Outcome | None,
    held: Mapping[int, Fact],
) -> schemas.Verdict:
    answers = {fact.case: fact for fact in facts if fact.case is not None}
    answered = [number for number in range(len(tests)) if number in answers]
    failures = [
        failure
        for number in answered
        if (failure := _failure_of(answers[number], test=tests[number], held=held.get(number)))
    ]
    return verdict(facts, failures, tests=len(tests), stopped=stopped, asked=lambda case: _asked(tests[case]))


def verdict(
    facts: Sequence[Fact],
    failures: Sequence[schemas.Failure],
    *,
    tests: int,
    stopped: schemas.Outcome | None,
    asked: Callable[[int], tuple[str, JsonValue]],
) -> schemas.Verdict:
    """Return the verdict: the failures, and how it ended where not all tests were reached.

    `asked` gives the input and the expected value of a test.
    """
    found = list(failures)
    answered = len({fact.case for fact in facts if fact.case is not None})
    if broken := [fact for fact in facts if fact.broken is not None]:
        outcome = schemas.Outcome.FORBIDDEN if broken[0].forbidden else schemas.Outcome.BROKEN
        found.append(schemas.Failure(outcome=outcome, message=_storable_text(str(broken[0].broken))))
    elif stopped or answered < tests:
        ending = schemas.Outcome.TIME_LIMIT if facts and facts[-1].late else schemas.Outcome.DIED
        input_, expected = asked(min(answered, tests - 1))
        found.append(_cut_short(stopped or ending, input_=input_, expected=expected))
    return schemas.Verdict(
        passed=not found,
        tests=tests,
        failures=found[:SHOWN],
        isolation=facts[0].isolation if facts else "unknown",
    )


def raised(fact: Fact, *, input_: str, expected: JsonValue) -> schemas.Failure:
    """Return the failure of a test that ended with an error."""
    outcome = schemas.Outcome.RAISED
    message = _storable_text(str(fact.error))
    if fact.memory:
        outcome, message = schemas.Outcome.MEMORY_LIMIT, "It needs more memory than it may use."
    if fact.forbidden:
        outcome = schemas.Outcome.FORBIDDEN
    return schemas.Failure(outcome=outcome, message=message, input=input_, expected=expected)


def _asked(test: schemas.TaskTest | schemas.PropertyTest) -> tuple[str, JsonValue]:
    return test.input, test.expected if isinstance(test, schemas.TaskTest) else None


def _failure_of(
    fact: Fact, *, test: schemas.TaskTest | schemas.PropertyTest, held: Fact | None
) -> schemas.Failure | None:
    input_, expected = _asked(test)
    if fact.error is not None:
        return raised(fact, input_=input_, expected=expected)
    if isinstance(test, schemas.PropertyTest):
        return _without_property(fact, test=test, held=held or Fact())
    if same(fact.value, test.expected):
        return None
    return schemas.Failure(
        outcome=schemas.Outcome.WRONG_ANSWER,
        message="It gives another value than the test expects.",
        input=test.input,
        expected=test.expected,
        actual=storable(fact.value),
    )


def _without_property(fact: Fact, *, test: schemas.PropertyTest, held: Fact) -> schemas.Failure | None:
    if held.value is True:
        return None
    message = f"Its value does not have the property {test.holds!r}."
    if held.error is not None:
        message = f"The property {test.holds!r} could not be checked: {_storable_text(held.error)}"
    return schemas.Failure(
        outcome=schemas.Outcome.WRONG_ANSWER, message=message, input=test.input, actual=storable(fact.value)
    )


def same(actual: JsonValue, expected: JsonValue) -> bool:
    """Compare as JSON does: 1 is 1.0, and neither is true."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(map(same, actual, expected))
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(same(actual[key], expected[key]) for key in actual)
    if isinstance(actual, float) and isinstance(expected, int | float):
        return abs(actual - expected) <= 1e-9 * max(abs(actual), abs(expected))
    return actual == expected


def _cut_short(outcome: schemas.Outcome, *, input_: str, expected: JsonValue) -> schemas.Failure:
    message = {
        schemas.Outcome.TIME_LIMIT: "It was stopped: it takes longer than it may.",
        schemas.Outcome.OUTPUT_LIMIT: "It was stopped: it prints or returns more than it may.",
        schemas.Outcome.DIED: "Its process ended before all tests were done.",
    }[outcome]
    return schemas.Failure(outcome=outcome, message=message, input=input_, expected=expected)


def storable(value: JsonValue) -> JsonValue:
    """Return a value that fits the database and a reader, or what can be shown of it."""
    try:
        json_values.check_storable(value)
    except json_values.UnstorableValueError:
        return ascii(value)[:LONGEST]
    text = json_values.canonical(value)
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _storable_text(text: str) -> str:
    return str(storable(text))
