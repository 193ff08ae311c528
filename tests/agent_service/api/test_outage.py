"""PostgreSQL goes away and comes back."""

from datetime import timedelta

import httpx
import psycopg
import pytest
from psycopg import sql

from agent_service import app


@pytest.fixture
def postgres(settings, make_database, migrated_database, server_url):
    """A database that can be closed to everybody, and settings that name it."""
    url = make_database(migrated_database)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def admit(*, connections):
        with psycopg.connect(server_url, autocommit=True) as admin:
            statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            admin.execute(statement.format(sql.Identifier(name), sql.SQL("true" if connections else "false")))
            if not connections:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )

    return admit, settings.model_copy(update={"database_url": type(settings.database_url)(url)})


async def test_the_service_says_so_and_recovers_by_itself(postgres, token):
    admit, settings = postgres
    application = app.create_app(
        settings.model_copy(update={"pool_timeout": timedelta(seconds=0.5)}), with_worker=False
    )
    transport = httpx.ASGITransport(application)
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(base_url="http://agents.test", transport=transport, headers=headers) as http,
    ):
        before = await http.post("/threads", json={})

        admit(connections=False)
        health, refused = await http.get("/ok"), await http.post("/threads", json={})
        admit(connections=True)
        after = await http.get(f"/threads/{before.json()['thread_id']}")

    assert (health.status_code, refused.status_code) == (503, 503)
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("unavailable", "2")
    assert after.status_code == 200
