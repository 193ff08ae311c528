import os
import re
import signal
import subprocess
import sys

import pytest

from agent_service.graphs import templates
from stack import assembly, demo, postgres, processes, services, state

pytestmark = pytest.mark.e2e

DEMO = "import pathlib, sys; from stack import demo, state; demo.demo(state.Folder(path=pathlib.Path(sys.argv[1])))"


PROMPTS = templates.version(templates.folder_of("agent_service.graphs.practice_author"))


@pytest.fixture(autouse=True)
def own_databases():
    """Take away the databases of these tests: the demo starts its own."""
    before = {
        name: os.environ.pop(name) for name in ("DATABASE_URL", "AGENT_DATABASE_URL") if name in os.environ
    }
    yield
    os.environ.pop("AGENT_DATABASE_URL", None)
    os.environ.update(before)


@pytest.fixture
def folder(tmp_path):
    made = state.Folder(path=tmp_path / "demo")
    yield made
    postgres.remove(made.path / "postgres")


@pytest.fixture
def start(folder):
    """Start the demo as a process of its own, and return it when it has said `text`."""
    running = []

    def start(text):
        process = subprocess.Popen(
            [sys.executable, "-c", DEMO, str(folder.path)],
            cwd=services.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        for line in process.stdout:
            if text in line:
                return process
        raise AssertionError("the demo ended early")

    yield start
    for process in running:
        with process:
            process.kill()


def test_the_demo_does_the_main_job_and_stops_what_it_started(folder, capsys):
    demo.demo(folder)

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        "demo: completed: 3 agents, 3 tasks drafted, 3 solutions verified, 1 published after approval, 2 declined"
    )
    assert sum("publish_task" in line and "pending_approval" in line for line in lines) == 3
    assert state.noted_in(folder).alive == []
    assert postgres.find(folder.path / "postgres") is None


@pytest.mark.parametrize(
    ("job", "last", "shown"),
    [
        pytest.param(
            "sql",
            "demo: completed: 3 tasks drafted, 3 solutions verified, 1 published after approval",
            f"prompts: version {PROMPTS}",
            id="sql",
        ),
        pytest.param(
            "author",
            "demo: completed: 3 tasks drafted, 3 solutions verified, 1 published after approval",
            "agent-practice-author publish_task.*pending_approval",
            id="author",
        ),
        pytest.param(
            "compare",
            "demo: completed: 3 models compared, 9 tasks drafted",
            r"claude-sonnet-4-6 .* s +\d+\+\d+ +0\.0\d+ +3$",
            id="compare",
        ),
    ],
)
def test_the_demo_does_other_jobs(folder, capsys, job, last, shown):
    demo.demo(folder, {"JOB": job})

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == last
    assert any(re.search(shown, line) for line in lines)


def test_the_demo_answers_a_question_with_its_citations(folder, capsys):
    demo.demo(folder, {"JOB": "research"})

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "demo: completed: the answer cites 1 records, and holds to its records"
    assert any("cites: [lesson-" in line for line in lines)
    assert any("step 'research' is done" in line for line in lines)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        pytest.param(signal.SIGTERM, "migrating", id="killed while it prepares"),
        pytest.param(signal.SIGINT, "starting agent-service", id="interrupted while it starts"),
        pytest.param(signal.SIGINT, "step 'read' is done", id="interrupted in the middle of the job"),
    ],
)
def test_a_demo_that_is_told_to_stop_leaves_nothing_running(folder, start, number, moment):
    process = start(moment)
    noted = state.noted_in(folder)

    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode != 0
    assert noted.alive == state.noted_in(folder).alive == []
    assert postgres.find(folder.path / "postgres") is None


def test_a_demo_that_was_killed_is_cleared_by_the_next(folder, start):
    start("starting agent-service").kill()
    left = state.noted_in(folder)

    start("migrating").send_signal(signal.SIGINT)

    assert left.started
    assert left.alive == []


def test_a_second_demo_at_the_same_time_is_refused(folder):
    folder.make()

    with state.locked(folder), pytest.raises(assembly.StackError, match="Another"):
        demo.demo(folder)


@pytest.fixture
def broken_agent_database(own_databases, make_database):
    os.environ["DATABASE_URL"] = make_database()
    os.environ["AGENT_DATABASE_URL"] = "postgresql://nobody:secret@127.0.0.1:1/none"


def test_a_demo_that_fails_names_the_step_and_shows_its_log(folder, broken_agent_database):
    with pytest.raises(processes.ProcessError, match=r"(?s)agent-migrate exited with .*refused") as raised:
        demo.demo(folder)

    assert "secret" not in str(raised.value)
    assert state.noted_in(folder).alive == []
