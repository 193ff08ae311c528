from datetime import timedelta

import pytest

from mandate import conf, exceptions, tokens
from shared_schemas import keys
from shared_schemas import tokens as wire

pytestmark = pytest.mark.django_db


@pytest.fixture
def verify():
    """Believes a token as the agent service does."""
    trusted = keys.parse_trusted([conf.settings().signing_key.public_text()])

    def read(token):
        return wire.verify(
            token, types=frozenset(wire.TokenType), audience=wire.AGENT_SERVICE, trusted=trusted
        )

    return read


def test_django_acts_for_a_user(user, verify):
    typ, claims = verify(tokens.for_service(user))

    assert (typ, claims.sub, claims.iss) == (wire.TokenType.SERVICE, str(user.pk), "django")
    assert claims.scopes == {"runs:read", "runs:write", "mandate"}


def test_a_users_own_client_makes_no_mandates(user, verify):
    typ, claims = verify(tokens.for_user(user, lifetime=timedelta(hours=1)))

    assert (typ, claims.exp - claims.iat) == (wire.TokenType.USER, 3600)
    assert claims.scopes == {"runs:read", "runs:write"}


def test_a_users_token_does_not_last_for_ever(user):
    with pytest.raises(ValueError, match="12:00:00 at most"):
        tokens.for_user(user, lifetime=timedelta(hours=13))


def test_no_two_run_tokens_are_the_same():
    made = {tokens.new_run_token() for _ in range(100)}

    assert len(made) == 100
    assert all(len(token) == len("djr_") + 43 for token in made)


@pytest.mark.parametrize("header", ["Bearer djr_abc", "bearer  djr_abc"])
def test_a_bearer_is_read_from_its_header(header):
    assert tokens.bearer(header) == "djr_abc"


@pytest.mark.parametrize("header", ["", "Basic abc", "djr_abc"])
def test_only_a_bearer_is_a_credential(header):
    with pytest.raises(exceptions.RequestRefused):
        tokens.bearer(header)
