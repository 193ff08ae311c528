import signal
import subprocess
import sys

import pytest

from shared_schemas import crashing

PASSES = """
from shared_schemas import crashing
crashing.arm({points!r})
for number in range(5):
    print(number, flush=True)
    crashing.point("here")
"""


def passing(points):
    command = [sys.executable, "-c", PASSES.format(points=points)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_process_dies_at_the_chosen_passage():
    done = passing("elsewhere:1,here:3")

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]
    assert done.stderr == "crash point here\n"


@pytest.mark.parametrize("points", ["", "elsewhere:1", "here:6"])
def test_a_process_lives_where_no_passage_was_chosen(points):
    assert passing(points).returncode == 0


@pytest.mark.parametrize("points", ["here", "here:", "here:0", "here:-1", ":1", "here:one"])
def test_what_names_no_passage_is_refused(points):
    with pytest.raises(crashing.BadPointsError, match="name:passage"):
        crashing.check(points)
