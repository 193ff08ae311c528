import pytest

from agent_service import telemetry


@pytest.mark.parametrize(
    "secret",
    [
        "djr_abcDEF-123",
        "mandate_sk_abcdef",
        "sk-proj-abcdefgh12345678",
        "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl",
        "Bearer abc.def",
        "postgresql://user:password@host/name",
    ],
)
def test_a_credential_is_not_shown(secret):
    shown = telemetry.redact(f"failed with {secret} at once")

    assert secret not in shown
    assert "password" not in shown
    assert telemetry.REDACTED in shown
    assert shown.startswith("failed with ")
    assert shown.endswith(" at once")
