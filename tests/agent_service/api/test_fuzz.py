"""Whatever is sent, the answer is one that the OpenAPI document names."""

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from agent_service import app

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
)

document = schemathesis.openapi.from_dict(app.openapi())


known = strategies.sampled_from([True, True, False])
"""Whether a case names what there is."""


@pytest.fixture
def there(service, token):
    """A thread with a run that has ended."""
    headers = {"Authorization": f"Bearer {token()}"}
    with httpx.Client(base_url=service.url, headers=headers, verify=False, timeout=20) as client:
        run = client.post("/runs", json={"assistant_id": "echo", "input": {"text": "a"}}).json()
        place = f"/threads/{run['thread_id']}"
        client.get(f"{place}/runs/{run['run_id']}/join").raise_for_status()
        checkpoint = client.get(f"{place}/state").json()["checkpoint_id"]
    return {
        "thread_id": run["thread_id"],
        "run_id": run["run_id"],
        "checkpoint_id": checkpoint,
        "assistant_id": "echo",
    }


@pytest.mark.slow
# Of schemathesis's own strategies.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@document.given(known=known)
@document.parametrize()
@hypothesis.settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
def test_every_answer_is_in_the_document(case, known, there, service, token):
    headers = {"Authorization": f"Bearer {token()}"}
    if known:
        case.path_parameters.update(
            {name: there[name] for name in there.keys() & case.path_parameters.keys()}
        )
        if isinstance(case.body, dict) and "assistant_id" in case.body:
            case.body |= {"assistant_id": "echo", "after_seconds": 0}

    case.call_and_validate(base_url=service.url, headers=headers, checks=CHECKS)
