"""Whatever is sent, the answer is one that the OpenAPI document names."""

import hypothesis
import pytest
import schemathesis
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


@pytest.mark.slow
# Of schemathesis's own strategies.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@document.parametrize()
@hypothesis.settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
def test_every_answer_is_in_the_document(case, service, token):
    headers = {"Authorization": f"Bearer {token()}"}

    case.call_and_validate(base_url=service.url, headers=headers, checks=CHECKS)
