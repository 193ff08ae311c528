import os

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.fixture
def setenv():
    def put(value):
        os.environ["SOME_VARIABLE"] = value

    yield put
    os.environ.pop("SOME_VARIABLE", None)


@pytest.mark.django_db  # the end of a request looks after connections that earlier tests left
def test_the_files_of_the_apps_are_served_as_they_lie(client):
    response = client.get("/static/admin/css/base.css")
    response.close()

    assert response.status_code == 200


def test_a_database_behind_a_socket_is_found(setenv):
    setenv("postgresql://me:p%40ss@/mandate?host=/run/postgres&connect_timeout=3")

    database = env.database("SOME_VARIABLE")

    assert (database["HOST"], database["NAME"], database["PASSWORD"]) == ("/run/postgres", "mandate", "p@ss")
    assert database["OPTIONS"] == {"connect_timeout": "3"}


@pytest.mark.parametrize("address", ["", "sqlite:///db", "postgresql://host"])
def test_what_is_no_database_is_refused_by_name(setenv, address):
    setenv(address)

    with pytest.raises(ImproperlyConfigured, match="SOME_VARIABLE"):
        env.database("SOME_VARIABLE")


def test_a_catalogue_is_read_from_the_file_that_is_named(setenv, tmp_path):
    kept = tmp_path / "models.json"
    kept.write_text('{"small": {"provider": "openai"}}')
    setenv(str(kept))

    assert env.document("SOME_VARIABLE") == {"small": {"provider": "openai"}}


@pytest.mark.parametrize("written", ["[]", "{", None])
def test_what_is_no_catalogue_is_refused_by_name(setenv, tmp_path, written):
    kept = tmp_path / "models.json"
    if written is not None:
        kept.write_text(written)
    setenv(str(kept))

    with pytest.raises(ImproperlyConfigured, match="SOME_VARIABLE"):
        env.document("SOME_VARIABLE")
