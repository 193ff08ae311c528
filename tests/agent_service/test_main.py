import json
import os
import subprocess
import sys

import pytest

from shared_schemas import keys


@pytest.fixture
def agent_service():
    """Return a function that runs the command line with nothing set."""

    def run(*arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
        command = [sys.executable, "-m", "agent_service", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_keys_prints_a_pair_that_fits(agent_service):
    printed = agent_service("keys").stdout

    pair = dict(line.split("=", 1) for line in printed.splitlines() if not line.startswith("#"))
    private = keys.parse_signing(pair["AGENT_SIGNING_KEY"])
    assert private.kid in keys.parse_trusted([pair["MANDATE_TRUSTED_KEYS"]])


def test_openapi_needs_no_settings(agent_service):
    document = json.loads(agent_service("openapi").stdout)

    assert "/threads/{thread_id}/runs/stream" in document["paths"]


def test_a_missing_setting_is_named_without_a_traceback(agent_service):
    ended = agent_service("serve")

    assert ended.returncode == 2
    assert "AGENT_SIGNING_KEY" in ended.stderr
    assert "Traceback" not in ended.stderr
