import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from practice import sandbox, schemas

SHORT = sandbox.Limits(wall=0.6)
OUTCOME = schemas.Outcome


def check(*cases):
    return [schemas.TaskTest(input=expression, expected=expected) for expression, expected in cases]


TWICE = check(("twice(1)", 2), ("twice(4)", 8))


def test_a_right_solution_passes():
    verdict = sandbox.verify("def twice(number):\n    return 2 * number\n", TWICE)

    assert (verdict.passed, verdict.tests, verdict.failures) == (True, 2, [])


def test_a_wrong_answer_names_the_case():
    verdict = sandbox.verify("def twice(number):\n    return number + 1\n", TWICE)

    assert not verdict.passed
    assert verdict.failures == [
        schemas.Failure(
            outcome=OUTCOME.WRONG_ANSWER,
            message="It gives another value than the test expects.",
            input="twice(4)",
            expected=8,
            actual=5,
        )
    ]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param("while True: pass", OUTCOME.TIME_LIMIT, id="loops"),
        pytest.param("import time; time.sleep(60)", OUTCOME.TIME_LIMIT, id="sleeps"),
        pytest.param(
            "import os, time; os.setsid(); time.sleep(60)", OUTCOME.TIME_LIMIT, id="leaves its group"
        ),
        pytest.param("return [0] * 10**10", OUTCOME.MEMORY_LIMIT, id="eats memory"),
        pytest.param("import os\n    while True: os.fork()", OUTCOME.RAISED, id="forks"),
        pytest.param(
            "import threading; threading.Thread(target=print).start()", OUTCOME.RAISED, id="threads"
        ),
        pytest.param(
            "import subprocess; subprocess.run(['/bin/true'])", OUTCOME.RAISED, id="starts a program"
        ),
        pytest.param("while True: print('x' * 10**6)", OUTCOME.OUTPUT_LIMIT, id="prints without end"),
        pytest.param("return 'x' * 10**6", OUTCOME.OUTPUT_LIMIT, id="returns a megabyte"),
        pytest.param("open('left', 'w').write('x')", OUTCOME.RAISED, id="writes a file"),
        pytest.param("import tempfile; tempfile.mkdtemp()", OUTCOME.RAISED, id="makes a folder"),
        pytest.param("input()", OUTCOME.RAISED, id="reads input"),
        pytest.param("import os; os._exit(0)", OUTCOME.DIED, id="exits hard"),
        pytest.param("import os; os.abort()", OUTCOME.DIED, id="aborts"),
        pytest.param("raise SystemExit", OUTCOME.RAISED, id="exits"),
        pytest.param("raise KeyboardInterrupt", OUTCOME.RAISED, id="interrupts"),
        pytest.param("return {number}", OUTCOME.RAISED, id="returns a set"),
        pytest.param("return float('nan')", OUTCOME.RAISED, id="returns not a number"),
        pytest.param("return chr(0)", OUTCOME.WRONG_ANSWER, id="returns NUL"),
        pytest.param("return chr(0xD800)", OUTCOME.WRONG_ANSWER, id="returns a surrogate"),
        pytest.param("raise ValueError(chr(0))", OUTCOME.RAISED, id="raises NUL"),
        pytest.param("return number == 1", OUTCOME.WRONG_ANSWER, id="true is not a number"),
    ],
)
def test_bad_conduct_gets_a_clear_verdict(body, outcome):
    limits = SHORT if outcome is OUTCOME.TIME_LIMIT else sandbox.Limits()

    verdict = sandbox.verify(f"def twice(number):\n    {body}\n", check(("twice(1)", 1)), limits=limits)

    assert [failure.outcome for failure in verdict.failures] == [outcome]


@pytest.mark.parametrize(
    "solution",
    [
        pytest.param("def twice(:", id="does not compile"),
        pytest.param("import no_such_module", id="does not import"),
        pytest.param("raise SystemExit", id="exits"),
        pytest.param("x = '\x00'", id="holds NUL"),
    ],
)
def test_a_solution_that_cannot_start_is_broken(solution):
    verdict = sandbox.verify(solution, TWICE)

    assert [failure.outcome for failure in verdict.failures] == [OUTCOME.BROKEN]


def test_a_failure_names_the_line_of_the_solution():
    verdict = sandbox.verify("def twice(number):\n    return number.missing\n", TWICE)

    assert "(line 2)" in verdict.failures[0].message


def test_a_solution_cannot_read_our_files():
    solution = f"def twice(number):\n    return open({str(Path(__file__))!r}).read(4)\n"

    verdict = sandbox.verify(solution, TWICE)

    if verdict.isolation != "namespaces":
        pytest.skip("this system lets no process have namespaces of its own")
    assert "FileNotFoundError" in verdict.failures[0].message


def test_a_solution_cannot_reach_the_network():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        solution = (
            f"import socket\ndef twice(number):\n    socket.create_connection(('127.0.0.1', {port}), 1)\n"
        )

        verdict = sandbox.verify(solution, TWICE)

    if verdict.isolation != "namespaces":
        pytest.skip("this system lets no process have namespaces of its own")
    assert "unreachable" in verdict.failures[0].message


def test_a_solution_sees_nothing_of_our_environment(secret_in_our_environment):
    solution = "import os\ndef twice(number):\n    return os.environ.get('MANDATE_TEST_SECRET')\n"

    verdict = sandbox.verify(solution, check(("twice(1)", None)))

    assert verdict.passed


@pytest.fixture
def secret_in_our_environment():
    os.environ["MANDATE_TEST_SECRET"] = "known to us"
    yield
    del os.environ["MANDATE_TEST_SECRET"]


def test_a_solution_cannot_end_the_process_that_checks_it():
    solution = "import os\ndef twice(number):\n    os.kill(os.getppid(), 9)\n    return 2 * number\n"

    verdict = sandbox.verify(solution, TWICE, limits=SHORT)

    assert verdict.tests == 2


def test_a_solution_may_write_nonsense_where_results_go():
    forged = (
        "import os\n"
        "for number in range(3, 20):\n"
        "    try:\n"
        '        os.write(number, b\'[]\\n{"case": "x"}\\n{"case": 99, "value": 1}\\n{"begun": -7}\\n\')\n'
        "    except OSError:\n"
        "        pass\n"
        "def twice(number):\n    return 2 * number\n"
    )

    assert sandbox.verify(forged, TWICE).passed


def test_nothing_of_a_solution_is_left_running():
    before = set(psutil.Process().children(recursive=True))

    sandbox.verify("import time\ndef twice(number):\n    time.sleep(60)\n", TWICE, limits=SHORT)

    assert set(psutil.Process().children(recursive=True)) <= before


def test_the_time_of_a_solution_is_bounded():
    began = time.monotonic()

    sandbox.verify("def twice(number):\n    while True: pass\n", TWICE, limits=SHORT)

    assert time.monotonic() - began < SHORT.wall + sandbox.GRACE + 10


def test_a_long_wrong_value_is_cut_in_the_verdict():
    verdict = sandbox.verify("def twice(number):\n    return list(range(5000))\n", TWICE)

    assert len(verdict.failures[0].actual) < 1100


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        pytest.param("(1, 2)", [1, 2], True, id="a tuple is a list"),
        pytest.param("1.0", 1, True, id="numbers by value"),
        pytest.param("0.1 + 0.2", 0.3, True, id="rounding is forgiven"),
        pytest.param("{'a': [0.1 + 0.2]}", {"a": [0.3]}, True, id="also inside"),
        pytest.param("{1: 'a'}", {"1": "a"}, True, id="keys are texts"),
        pytest.param("True", 1, False, id="true is not one"),
        pytest.param("None", 0, False, id="none is not zero"),
        pytest.param("[1]", [1, 2], False, id="a list is as long as it is"),
        pytest.param("'1'", 1, False, id="text is not a number"),
    ],
)
def test_values_are_compared_as_json(actual, expected, same):
    verdict = sandbox.verify("", check((actual, expected)))

    assert verdict.passed is same


SHUFFLED = [schemas.PropertyTest(input="shuffled([3, 1, 2])", holds="sorted(result) == [1, 2, 3]")]


def test_a_property_that_holds_passes():
    verdict = sandbox.verify("def shuffled(values):\n    return values[::-1]\n", SHUFFLED)

    assert verdict.passed


def test_a_property_that_does_not_hold_is_named_with_the_value():
    verdict = sandbox.verify("def shuffled(values):\n    return values[1:]\n", SHUFFLED)

    failure = verdict.failures[0]
    assert (failure.outcome, failure.actual) == (OUTCOME.WRONG_ANSWER, [1, 2])
    assert "sorted(result)" in failure.message


def test_a_solution_cannot_make_properties_hold():
    cheat = "import builtins\nbuiltins.sorted = lambda _: [1, 2, 3]\ndef shuffled(values):\n    return []\n"

    verdict = sandbox.verify(cheat, SHUFFLED)

    assert not verdict.passed


@pytest.mark.parametrize(
    "holds",
    [
        pytest.param("result.missing", id="raises"),
        pytest.param("[0] * 10**10", id="eats memory"),
        pytest.param("any(iter(int, 1))", id="loops"),
    ],
)
def test_a_property_that_cannot_be_checked_fails(holds):
    tests = [schemas.PropertyTest(input="shuffled([1])", holds=holds)]

    verdict = sandbox.verify("def shuffled(values):\n    return values\n", tests)

    assert "could not be checked" in verdict.failures[0].message


@pytest.mark.parametrize("holds", ["result ==", "x = 1", "result) or (True"])
def test_a_property_must_be_an_expression(holds):
    with pytest.raises(ValueError, match="no Python expression"):
        schemas.PropertyTest(input="f()", holds=holds)
