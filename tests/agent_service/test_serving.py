"""The service as a process: it starts, and leaves when it is told to."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from shared_schemas import keys, tokens
from tests.agent_service import house

GRAPHS = Path(__file__).with_name("api").joinpath("langgraph.json")
ADDRESS = re.compile(r"Uvicorn running on (http://[\d.]+:\d+)")

pytestmark = pytest.mark.e2e


@pytest.fixture
def environment(database_url):
    return os.environ | {
        "AGENT_DATABASE_URL": database_url,
        "AGENT_SIGNING_KEY": keys.generate(),
        "AGENT_TRUSTED_KEYS": house.DJANGO.public_text(),
        "AGENT_DJANGO_URL": "http://127.0.0.1:9",
        "AGENT_GRAPHS": str(GRAPHS),
        "AGENT_PORT": "0",
        "AGENT_DRAIN_TIMEOUT": "1",
    }


@pytest.fixture
def token():
    return house.token("7", typ=tokens.TokenType.USER)


@contextmanager
def serving(environment, *options):
    """Start the service and yield its process, its address, and what it logs until it serves and when it has ended."""
    command = [sys.executable, "-m", "agent_service", "serve", *options]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if found := ADDRESS.search(line):
                    break
            # Whoever logs into a full pipe stands still.
            rest = threading.Thread(target=said.extend, args=[process.stderr])
            rest.start()
            yield process, found[1], said
        finally:
            process.kill()
            rest.join()


def test_sigterm_ends_streams_early_and_hands_the_run_on(environment, token):
    async def follow_until_it_closes(url, process):
        async with house.client_of(url, token) as client:
            thread = await client.threads.create()
            body = {"assistant_id": "endless", "input": {"text": ""}, "stream_mode": "custom"}
            path = f"/threads/{thread['thread_id']}/runs/stream"
            seen = []
            async with client.http.client.stream("POST", path, json=body) as response:
                async for line in response.aiter_lines():
                    seen.append(line)
                    if line == "event: custom":
                        process.send_signal(signal.SIGTERM)
            return response.headers["content-location"], seen

    async def status_of(url, path):
        async with house.client_of(url, token) as client:
            run = await client.http.get(path)
            return run["status"]

    with serving(environment) as (process, url, _):
        path, seen = asyncio.run(follow_until_it_closes(url, process))
        process.wait(timeout=20)
    with serving(environment, "--no-worker") as (_, url, _):
        status = asyncio.run(status_of(url, path))

    assert "event: end" not in seen
    assert status == "pending"


def test_providers_without_a_key_are_named_once_in_the_log(environment):
    environment |= {"OPENAI_API_KEY": "made up", "ANTHROPIC_API_KEY": ""}
    environment.pop("GOOGLE_API_KEY", None)

    with serving(environment) as (process, _, said):
        process.terminate()
        process.wait(timeout=20)

    told = [json.loads(line) for line in said if "models.without_key" in line]
    assert [entry["providers"] for entry in told] == [["anthropic", "google"]]


def test_it_leaves_though_its_database_is_gone_for_good(
    environment, token, make_database, migrated_database, server_url
):
    url = make_database(migrated_database)
    environment["AGENT_DATABASE_URL"] = url
    name = sql.Identifier(psycopg.conninfo.conninfo_to_dict(url)["dbname"])

    async def start_a_run(address):
        async with house.client_of(address, token) as client:
            thread = await client.threads.create()
            run = await client.runs.create(
                thread["thread_id"], "endless", input={"text": ""}, stream_mode="custom"
            )
            async for part in client.runs.join_stream(
                thread["thread_id"], run["run_id"], stream_mode="custom"
            ):
                if part.event == "custom":
                    return

    with serving(environment) as (process, address, _):
        asyncio.run(start_a_run(address))
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)

    # uvicorn ends by the signal that told it to.
    assert process.returncode == -signal.SIGTERM


def test_graphs_that_cannot_be_read_stop_the_start_and_say_why_at_the_end(environment):
    environment["AGENT_GRAPHS"] = "/nowhere.json"
    command = [sys.executable, "-m", "agent_service", "serve"]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "Graphs cannot be read from '/nowhere.json'" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["migrate", "serve", "worker"])
def test_a_database_that_is_not_there_is_named_at_once_at_the_end(environment, name):
    environment["AGENT_DATABASE_URL"] = "postgresql://agent:hidden@/agents?host=/nowhere"
    command = [sys.executable, "-m", "agent_service", name]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    _, found, last_words = f"\n{ended.stderr}".partition("\nPostgreSQL cannot be used")
    assert found
    assert "hidden" not in ended.stderr
    assert "Traceback" not in last_words


def test_webhooks_are_listed_and_delivered_again(environment, database_url):
    def command(*arguments):
        line = [sys.executable, "-m", "agent_service", "webhooks", *arguments]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO webhooks (webhook_id, run_id, sequence, url, body, attempts, abandoned_at)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'http://django.test/', '{}', 10, now())"
        )

    [before] = [json.loads(line) for line in command("list").stdout.splitlines()]
    again = command("redeliver", before["webhook_id"])
    [after] = [json.loads(line) for line in command("list", "--open").stdout.splitlines()]

    assert again.stdout == "1 to be delivered again\n"
    assert (before["attempts"], after["attempts"], after["abandoned_at"]) == (10, 0, None)
