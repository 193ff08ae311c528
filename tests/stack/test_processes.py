import os
import sys

import psutil
import pytest

from stack import processes, services

PATIENT = "import time; print('started', flush=True); time.sleep(60)"
WITH_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


@pytest.fixture
def start(tmp_path):
    started = []

    def start(code):
        process = processes.start(
            "tested", [sys.executable, "-c", code], env=os.environ, cwd=tmp_path, log_folder=tmp_path
        )
        started.append(process)
        return process

    yield start
    processes.stop(*started)


def test_a_process_that_ends_before_it_is_ready_shows_its_log(start):
    process = start("raise SystemExit('no key is set')")

    with pytest.raises(processes.ProcessError, match=r"(?s)ended before it was ready.*no key is set"):
        processes.wait_until_ready(process, "http://127.0.0.1:9/ok")


def test_a_process_that_does_not_answer_shows_its_log(start):
    process = start(PATIENT)

    with pytest.raises(processes.ProcessError, match="did not answer"):
        processes.wait_until_ready(process, f"http://127.0.0.1:{processes.free_port()}/ok", within=0.3)


def test_stopping_ends_the_children_too(start):
    process = start(WITH_CHILD)
    child = _child_of(process.pid)

    processes.stop(process)

    assert process.running() is None
    assert psutil.wait_procs([child], timeout=60) == ([child], [])


def test_a_command_that_fails_shows_what_it_printed(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such table')"]

    with pytest.raises(processes.ProcessError, match=r"migrate exited with 1:\nno such table"):
        processes.run("migrate", command, env=os.environ, cwd=tmp_path, log_folder=tmp_path)


def test_a_command_that_succeeds_returns_what_it_printed(tmp_path):
    command = [sys.executable, "-c", "print('done')"]

    assert processes.run("x", command, env=os.environ, cwd=tmp_path, log_folder=tmp_path) == "done\n"


def test_a_port_that_was_given_is_given_to_no_other_process(tmp_path):
    code = f"from stack import processes; processes._PORTS = iter([{processes.free_port()}]); processes.free_port()"
    command = [sys.executable, "-c", code]

    with pytest.raises(processes.ProcessError, match="no free port"):
        processes.run("other", command, env=os.environ, cwd=services.ROOT, log_folder=tmp_path)


def test_a_port_is_taken_while_somebody_listens():
    port = processes.free_port()

    assert not processes.port_is_taken(port)


def _child_of(pid):
    while not (children := psutil.Process(pid).children()):
        os.sched_yield()
    return children[0]
