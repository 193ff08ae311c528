"""The checker of the other tests notices what it should."""

import httpx
import pytest

from tests.contract import exchanges

RUN = "0197a3f0-0000-7000-8000-000000000001"
OPEN = {"run_id": RUN, "thread_id": RUN, "epoch": 1}
REFUSED = {"title": "No", "status": 409, "detail": "Too late.", "code": "stale_worker"}
PROBLEM = {"content-type": "application/problem+json"}


@pytest.fixture(scope="module")
def tool_api():
    return exchanges.Api(exchanges.TOOL_API)


def asked(method="POST", path="/agent-api/sessions/", json=None, **options):
    return httpx.Request(method, f"http://django.test{path}", json=json or OPEN, **options)


def answered(status=409, json=None, headers=None):
    return httpx.Response(status, json=json or REFUSED, headers=headers or PROBLEM)


def test_an_exchange_that_fits_has_no_fault(tool_api):
    assert tool_api.faults(asked(), answered()) == []


@pytest.mark.parametrize(
    ("request_", "response", "fault"),
    [
        pytest.param(asked(path="/agent-api/else/"), answered(), "is not in the document", id="path"),
        pytest.param(asked("DELETE"), answered(), "is not in the document", id="method"),
        pytest.param(asked(), answered(418), "the status 418", id="status"),
        pytest.param(asked(), answered(headers={"content-type": "text/html"}), "media type", id="media type"),
        pytest.param(asked(), answered(json=REFUSED | {"code": "made_up"}), "$.code", id="code"),
        pytest.param(asked(), answered(201, {"run_token": "x"}), "media type", id="problem where it is none"),
        pytest.param(
            asked(),
            answered(201, {"run_token": "x"}, {"content-type": "application/json"}),
            "'session_id' is a required property",
            id="answer",
        ),
        pytest.param(
            asked(json=OPEN | {"more": 1}), answered(503), "Additional properties", id="request not refused"
        ),
        pytest.param(
            asked("GET", "/agent-api/tools/?page=2"), answered(503), "query parameter 'page'", id="query"
        ),
    ],
)
def test_an_exchange_that_does_not_fit_is_told(tool_api, request_, response, fault):
    assert any(fault in told for told in tool_api.faults(request_, response))


def test_a_request_that_does_not_fit_may_be_refused(tool_api):
    request = asked(json=OPEN | {"more": 1})

    assert tool_api.faults(request, answered(422, REFUSED)) == []
