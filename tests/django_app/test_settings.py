import os

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.fixture
def setenv():
    def put(value):
        os.environ["SOME_DATABASE"] = value

    yield put
    os.environ.pop("SOME_DATABASE", None)


@pytest.mark.django_db  # the end of a request looks after connections that earlier tests left
def test_the_files_of_the_apps_are_served_as_they_lie(client):
    response = client.get("/static/admin/css/base.css")
    response.close()

    assert response.status_code == 200


def test_a_database_behind_a_socket_is_found(setenv):
    setenv("postgresql://me:p%40ss@/mandate?host=/run/postgres&connect_timeout=3")

    database = env.database("SOME_DATABASE")

    assert (database["HOST"], database["NAME"], database["PASSWORD"]) == ("/run/postgres", "mandate", "p@ss")
    assert database["OPTIONS"] == {"connect_timeout": "3"}


@pytest.mark.parametrize("address", ["", "sqlite:///db", "postgresql://host"])
def test_what_is_no_database_is_refused_by_name(setenv, address):
    setenv(address)

    with pytest.raises(ImproperlyConfigured, match="SOME_DATABASE"):
        env.database("SOME_DATABASE")
