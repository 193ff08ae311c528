import os
import signal

import pytest

from stack import interrupts


@pytest.mark.parametrize("number", interrupts.ENDING)
def test_a_signal_ends_the_block_as_ctrl_c_does(number):
    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        os.kill(os.getpid(), number)


def test_what_was_begun_is_noted_before_the_signal_counts():
    noted = []

    def start():
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            noted.append("started")
        noted.append("went on")

    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        start()

    assert noted == ["started"]


def test_who_stops_is_not_stopped():
    with interrupts.deaf():
        os.kill(os.getpid(), signal.SIGINT)


def test_behind_a_block_signals_mean_what_they_did():
    before = [signal.getsignal(number) for number in interrupts.ENDING]

    with interrupts.interruptible(), interrupts.held(), interrupts.deaf():
        pass

    assert [signal.getsignal(number) for number in interrupts.ENDING] == before
