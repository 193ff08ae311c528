import pytest
from django.db import connection

from shared_schemas.problems import ErrorCode


@pytest.fixture
def no_database(transactional_db):
    connection.close()
    address = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    connection.settings_dict.update(HOST="127.0.0.1", PORT="1")
    yield
    connection.settings_dict.update(address)


@pytest.mark.django_db
def test_a_process_with_a_database_is_well(client):
    response = client.get("/ok")

    assert (response.status_code, response.json()) == (200, {"ok": True})


def test_a_process_without_a_database_says_so(client, no_database, problem_of):
    response = client.get("/ok")

    assert problem_of(response) == (503, ErrorCode.UNAVAILABLE)
