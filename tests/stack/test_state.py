import stat

import psutil
import pytest

from stack import processes, state


@pytest.fixture
def folder(tmp_path):
    made = state.Folder(path=tmp_path / "state")
    made.make()
    return made


@pytest.fixture
def this_process(tmp_path):
    found = psutil.Process()
    return processes.Process(
        name="tests", pid=found.pid, started=found.create_time(), log=tmp_path / "tests.log"
    )


def test_secrets_are_made_once(folder):
    first = state.secrets_of(folder)

    assert state.secrets_of(folder) == first


def test_secrets_and_login_are_private(folder):
    state.secrets_of(folder)
    state.keep_login(folder, state.Login(username="author", password="x", token="y"))

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.path.glob("*.json")}

    assert modes == {"secrets.json": 0o600, "login.json": 0o600}


def test_no_secret_is_shown_by_a_representation(folder):
    made = state.secrets_of(folder)
    login = state.Login(username="author", password="the password", token="the token")

    shown = repr(made) + repr(login)

    assert not any(
        secret in shown for secret in (made.agent_signing_key, made.django_secret_key, "the password")
    )


def test_what_was_started_is_found_by_a_later_command(folder, this_process):
    state.keep_running(folder, [this_process], {"django": 8000})

    noted = state.noted_in(folder)

    assert (noted.alive, noted.ports, noted.is_whole) == ([this_process], {"django": 8000}, True)


def test_a_process_that_has_another_ones_pid_is_not_ours(folder, this_process):
    earlier = processes.Process(name="old", pid=this_process.pid, started=1.0, log=this_process.log)
    state.keep_running(folder, [earlier, this_process], {})

    noted = state.noted_in(folder)

    assert (noted.alive, noted.is_whole) == ([this_process], False)


def test_nothing_is_noted_in_a_new_folder(folder):
    assert state.noted_in(folder) == state.Noted()
    assert not state.noted_in(folder).is_whole


def test_one_command_at_a_time_holds_a_folder(folder):
    with state.locked(folder) as first, state.locked(folder) as second:
        assert (first, second) == (True, False)
