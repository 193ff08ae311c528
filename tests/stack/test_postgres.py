import shutil
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest

from stack import installation, postgres


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as made:
        yield Path(made) / "state" / "postgres"


@pytest.fixture
def server(folder):
    started = postgres.start(folder, durable=False)
    yield started
    if started.installed.home.exists():
        started.remove()


def modes(*paths):
    parents = {parent for path in paths for parent in path.resolve().parents if parent.exists()}
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in parents}


def test_data_survives_a_stop_and_a_start(folder, server):
    server.create("mandate")
    with psycopg.connect(server.url("mandate")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    server.stop()
    again = postgres.start(folder, durable=False)

    with psycopg.connect(again.url("mandate")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_durable_server_syncs_to_disk_and_a_forgetful_one_does_not(folder, server):
    with psycopg.connect(server.admin_url("postgres")) as connection:
        forgetful = connection.execute("SHOW fsync").fetchone()

    server.stop()
    durable = postgres.start(folder)

    with psycopg.connect(durable.admin_url("postgres")) as connection:
        assert (forgetful, connection.execute("SHOW fsync").fetchone()) == (("off",), ("on",))


def test_starting_a_running_server_finds_it(folder, server):
    again = postgres.start(folder, durable=False)

    assert again == server == postgres.find(folder)


def test_a_stopped_server_is_not_found(folder, server):
    server.stop()

    assert postgres.find(folder) is None


def test_a_server_that_never_was_is_not_found_and_leaves_nothing(folder):
    found = postgres.find(folder)

    assert found is None
    assert not folder.exists()


def test_the_owner_of_one_database_may_not_enter_another(server):
    server.create("mandate")
    server.create("mandate_agent")
    password = psycopg.conninfo.conninfo_to_dict(server.url("mandate"))["password"]

    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(server.url("mandate_agent"), user="mandate", password=password)


def test_a_wrong_password_is_refused(server):
    server.create("mandate")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url("mandate"), password="wrong")


def test_it_does_not_listen_on_tcp(server):
    with psycopg.connect(server.admin_url("postgres")) as connection:
        addresses = connection.execute("SHOW listen_addresses").fetchone()

    assert addresses == ("",)


def test_no_existing_folder_changes_its_mode(folder):
    folder.parent.mkdir(mode=0o700)
    watched = (folder, installation.SYSTEM_FOLDER, Path(psycopg.__file__))
    before = modes(*watched)

    server = postgres.start(folder, durable=False)
    server.remove()

    after = modes(*watched)
    assert {path: after[path] for path in before} == before


def test_the_password_and_the_data_are_private(server):
    home = server.installed.home

    private = {path.name: stat.S_IMODE((home / path).stat().st_mode) for path in home.iterdir()}

    assert private["password"] == 0o600
    assert private["data"] == private["socket"] == 0o700


def test_a_folder_that_was_deleted_starts_afresh(folder, server):
    server.create("mandate")
    shutil.rmtree(folder)

    again = postgres.start(folder, durable=False)

    try:
        with psycopg.connect(again.admin_url("postgres")) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'mandate'").fetchall()
        assert found == []
    finally:
        again.remove()


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "running"])
def test_a_removed_server_leaves_nothing(folder, server, stopped):
    if stopped:
        server.stop()

    postgres.remove(folder)

    assert not server.installed.home.exists()
    assert not server.socket_folder.exists()
    assert postgres.find(folder) is None


def test_a_start_that_was_interrupted_is_made_good(folder, server):
    server.stop()
    server.data.rename(server.installed.home / "making")

    again = postgres.start(folder, durable=False)

    assert again.is_running()


def test_a_long_path_still_has_a_socket(folder):
    deep = folder / ("deep" * 30)

    server = postgres.start(deep, durable=False)

    try:
        psycopg.connect(server.admin_url("postgres")).close()
    finally:
        server.remove()
