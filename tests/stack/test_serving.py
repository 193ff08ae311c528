"""How long servers keep idle connections: a request that meets its connection's closing has no answer."""

import re

import httpx

from agent_service import __main__ as agent
from stack import services

DOCKERFILE = services.ROOT / "django_app" / "Dockerfile"
CLIENTS = httpx.Limits().keepalive_expiry
"""Seconds that a client keeps one."""


def test_no_server_closes_a_connection_before_its_clients_do():
    kept = [
        re.search(r"--timeout-keep-alive (\d+)", text)[1]
        for text in (DOCKERFILE.read_text(), " ".join(services.SERVE_DJANGO))
    ]

    assert min(agent.KEEP_ALIVE, *map(int, kept)) > CLIENTS
