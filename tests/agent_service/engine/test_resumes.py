import pytest

from agent_service import exceptions
from agent_service.engine import resumes

ONE, TWO = "1" * 32, "2" * 32


def resolve(answer, pending, *, stands=True):
    return resumes.resolve({"resume": answer}, pending, stands_before_a_step=stands)["resume"]


def test_a_bare_answer_is_for_the_one_pending_interrupt():
    assert resolve("yes", [ONE]) == {ONE: "yes"}


def test_an_answer_that_names_its_interrupts_stays():
    assert resolve({ONE: "yes"}, [ONE, TWO]) == {ONE: "yes"}


def test_a_mapping_that_names_no_interrupt_is_an_answer():
    assert resolve({"approved": True}, [ONE]) == {ONE: {"approved": True}}


def test_at_a_breakpoint_a_bare_answer_answers_nothing():
    assert resolve(True, []) == {}


@pytest.mark.parametrize(
    ("answer", "pending", "stands"),
    [
        pytest.param("yes", [ONE, TWO], True, id="ambiguous"),
        pytest.param({TWO: "yes"}, [ONE], True, id="not pending"),
        pytest.param("yes", [], False, id="nothing to answer"),
    ],
)
def test_what_is_for_no_pending_interrupt_is_refused(answer, pending, stands):
    with pytest.raises(exceptions.RunFailed):
        resolve(answer, pending, stands=stands)


def test_given_again_an_answer_is_for_what_is_still_pending():
    command = {"resume": {ONE: "yes", TWO: "no"}, "update": {"a": 1}}

    assert resumes.unanswered(command, [TWO]) == {"resume": {TWO: "no"}, "update": {"a": 1}}
