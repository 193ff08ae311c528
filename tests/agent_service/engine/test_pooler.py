"""The engine behind a real pgbouncer in transaction mode."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from agent_service.engine import run
from stack import processes

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer on this machine"),
]


@pytest.fixture
def pooler_url(database_url, tmp_path):
    port = processes.free_port()
    known = conninfo.conninfo_to_dict(database_url)
    place = " ".join(f"{key}='{known[key]}'" for key in ("host", "port", "user", "password") if key in known)
    owner = Path(known["host"]).owner() if known.get("host", "").startswith("/") else "nobody"
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{known['dbname']} = {place}\n[pgbouncer]\npool_mode = transaction\n"
        f"default_pool_size = 4\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        # As root it wants another user, and only the server's own reaches its socket.
        "auth_type = any\n" + (f"user = {owner}\n" if os.geteuid() == 0 else "")
    )
    with subprocess.Popen([PGBOUNCER, settings], stderr=subprocess.PIPE, text=True) as process:
        try:
            next(line for line in process.stderr if "listening on" in line)
            yield conninfo.make_conninfo(
                "", host="127.0.0.1", port=port, user=known["user"], dbname=known["dbname"]
            )
        finally:
            process.kill()
            process.stderr.read()


@pytest.fixture
async def services(open_services, pooler_url, settings):
    return await open_services(
        database_url=type(settings.database_url)(pooler_url), database_direct_url=settings.database_url
    )


async def test_runs_park_resume_and_are_cancelled_behind_a_pooler(
    services, worker, submission, end_of, stage
):
    rows = [await services.queue.submit(submission()) for _ in range(10)]
    parked = await end_of(await services.queue.submit(submission("asking")))
    answer = submission("asking", parked.thread_id, payload=run.Payload(command={"resume": "yes"}))
    resumed = await end_of(await services.queue.submit(answer))
    held = await services.queue.submit(submission("gated"))
    await stage.reached.wait()
    await services.queue.cancel(held.run_id, thread_id=held.thread_id, owner=held.owner)

    assert {(await end_of(row)).status for row in rows} == {run.RunStatus.SUCCESS}
    assert resumed.status is run.RunStatus.SUCCESS
    assert (await end_of(held)).status is run.RunStatus.INTERRUPTED


async def test_the_pooler_gives_one_session_several_connections(pooler_url):
    async with (
        await psycopg.AsyncConnection.connect(pooler_url, autocommit=True, prepare_threshold=None) as one,
        await psycopg.AsyncConnection.connect(pooler_url, autocommit=True, prepare_threshold=None) as two,
    ):
        first = await (await one.execute("SELECT pg_backend_pid()")).fetchone()
        async with two.transaction():
            await two.execute("SELECT 1")
            second = await (await one.execute("SELECT pg_backend_pid()")).fetchone()

    assert first != second
