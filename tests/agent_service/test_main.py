import json
import os
import subprocess
import sys

import pytest

from agent_service import __main__
from shared_schemas import keys


@pytest.fixture
def agent_service():
    """Return a function that runs the command line with nothing set."""

    def run(*arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
        command = [sys.executable, "-m", "agent_service", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_keys_prints_a_pair_that_fits(capsys):
    status = __main__.main(["keys"])

    lines = capsys.readouterr().out.splitlines()
    pair = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    private = keys.parse_signing(pair["AGENT_SIGNING_KEY"])
    assert status == 0
    assert private.kid in keys.parse_trusted([pair["MANDATE_TRUSTED_KEYS"]])


def test_openapi_needs_no_settings(capsys):
    status = __main__.main(["openapi"])

    document = json.loads(capsys.readouterr().out)
    assert status == 0
    assert "/threads/{thread_id}/runs/stream" in document["paths"]


def test_every_problem_of_the_document_is_described(capsys):
    __main__.main(["openapi"])

    schemas = json.loads(capsys.readouterr().out)["components"]["schemas"]
    assert schemas["Problem"]["properties"]["code"]["$ref"] == "#/components/schemas/ErrorCode"


def test_a_missing_setting_is_named_without_a_traceback(agent_service):
    ended = agent_service("serve")

    assert ended.returncode == 2
    assert "AGENT_SIGNING_KEY" in ended.stderr
    assert "Traceback" not in ended.stderr
