"""Makes the records that the benchmark works on, and counts queries."""

import dataclasses
import json

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from mandate import testing
from practice.models import Module
from shared_schemas.tools import Limits
from tests.benchmarks import requests

# Counting is part of the price; what is counted against is never reached.
LIMITS = Limits(tool_calls=10**8, writes=10**8, calls_per_tool={"add_tasks": 10**8})


def prepare(clients: int) -> dict:
    """Return the callers, each with a run of its own, and the number of queries of each request."""
    module = Module.objects.create(
        slug="benchmark", title="Benchmark", language="python", body="b", published=True
    )
    person = User.objects.create_user("benchmark", password=None)
    agent = testing.make_agent("add_tasks", limits=LIMITS)
    callers = [
        requests.Caller(
            module_id=module.pk,
            person_token=Token.objects.get_or_create(user=person)[0].key,
            run_token=testing.token_of(testing.start_run(agent, by=person)),
        )
        for _ in range(clients)
    ]
    return {"callers": [dataclasses.asdict(caller) for caller in callers], "queries": _queries(callers[0])}


def _queries(caller: requests.Caller) -> dict[str, int]:
    replay = caller.replay()
    _send(caller.call()())  # what is cached once per process is not counted
    _send(replay())
    return {
        name: _count(request)
        for name, request in (("plain", caller.plain()()), ("call", caller.call()()), ("replay", replay()))
    }


def _count(request: bytes) -> int:
    with CaptureQueriesContext(connection) as captured:
        _send(request)
    return len(captured)


def _send(request: bytes) -> None:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    answer = Client().post(
        first.split()[1], json.loads(body), content_type="application/json", headers=headers
    )
    assert answer.status_code in {200, 201}, answer.content
