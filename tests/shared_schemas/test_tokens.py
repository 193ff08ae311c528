from datetime import UTC, datetime, timedelta

import jwt
import pytest

from shared_schemas import keys, tokens

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SERVICE = frozenset({tokens.TokenType.SERVICE})


@pytest.fixture(scope="module")
def key():
    return keys.parse_signing(keys.generate())


@pytest.fixture(scope="module")
def trusted(key):
    return keys.parse_trusted([key.public_text()])


@pytest.fixture
def issue(key):
    def issue(**changes):
        claims = {
            "typ": tokens.TokenType.SERVICE,
            "issuer": tokens.DJANGO,
            "audience": tokens.AGENT_SERVICE,
            "subject": "7",
            "token_id": "t-1",
            "scopes": frozenset({tokens.Scope.RUNS_READ, tokens.Scope.MANDATE}),
            "now": NOW,
        }
        return tokens.issue(key, **(claims | changes))

    return issue


@pytest.fixture
def forge(key):
    def forge(header=None, claims=None, signer=None):
        body = {
            "iss": "django",
            "aud": "agent-service",
            "sub": "7",
            "iat": int(NOW.timestamp()),
            "exp": int(NOW.timestamp()) + 60,
            "jti": "t-1",
        }
        headers = {"typ": "mandate-service+jwt", "kid": key.kid} | (header or {})
        private = signer.private if signer else key.private
        return jwt.encode(body | (claims or {}), private, algorithm="EdDSA", headers=headers)

    return forge


def verify(token, trusted, types=SERVICE, now=NOW, audience=tokens.AGENT_SERVICE):
    return tokens.verify(token, types=types, audience=audience, trusted=trusted, now=now)


def test_a_token_says_who_acts_and_what_is_allowed(issue, trusted):
    typ, claims = verify(issue(), trusted)

    assert typ is tokens.TokenType.SERVICE
    assert claims.sub == "7"
    assert claims.scopes == {"runs:read", "mandate"}


def test_a_token_of_another_type_is_refused(issue, trusted):
    with pytest.raises(tokens.InvalidTokenError, match="not accepted here"):
        verify(issue(typ=tokens.TokenType.WORKER), trusted)


def test_an_expired_token_is_told_apart_from_a_false_one(issue, trusted):
    with pytest.raises(tokens.ExpiredTokenError):
        verify(issue(), trusted, now=NOW + timedelta(minutes=2))


def test_a_key_that_is_not_trusted_is_refused(issue):
    stranger = keys.parse_signing(keys.generate())

    with pytest.raises(tokens.InvalidTokenError, match="not trusted"):
        verify(issue(), keys.parse_trusted([stranger.public_text()]))


def test_two_keys_are_trusted_while_one_is_being_changed(issue, key):
    successor = keys.parse_signing(keys.generate())
    both = keys.parse_trusted([key.public_text(), successor.public_text()])

    _, claims = verify(issue(), both)

    assert claims.jti == "t-1"


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        pytest.param({"jku": "https://example.org"}, {}, id="a header that names keys"),
        pytest.param({"crit": ["exp"]}, {}, id="a critical header"),
        pytest.param({"typ": "JWT"}, {}, id="no type of ours"),
        pytest.param({}, {"aud": ["agent-service", "django"]}, id="two audiences"),
        pytest.param({}, {"aud": "django"}, id="another audience"),
        pytest.param({}, {"exp": int(NOW.timestamp()) + 3600}, id="older than its type may get"),
        pytest.param({}, {"iat": int(NOW.timestamp()) + 30}, id="from the future"),
        pytest.param({}, {"sub": 7}, id="a subject that is no text"),
        pytest.param({}, {"exp": None}, id="no end"),
        pytest.param({}, {"scope": "x" * 4096}, id="larger than 4 KiB"),
    ],
)
def test_a_token_out_of_shape_is_refused(forge, trusted, header, claims):
    token = forge(header, claims)

    with pytest.raises(tokens.InvalidTokenError):
        verify(token, trusted)


def test_a_signature_by_another_key_under_a_trusted_name_is_refused(forge, trusted):
    token = forge(signer=keys.parse_signing(keys.generate()))

    with pytest.raises(tokens.InvalidTokenError, match="signature"):
        verify(token, trusted)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_only_eddsa_is_believed(trusted, key, algorithm):
    secret = "" if algorithm == "none" else "a shared secret of thirty-two bytes"
    headers = {"typ": "mandate-service+jwt", "kid": key.kid}
    token = jwt.encode({"sub": "7"}, secret, algorithm=algorithm, headers=headers)

    with pytest.raises(tokens.InvalidTokenError, match="EdDSA"):
        verify(token, trusted)


@pytest.mark.parametrize("text", ["", "a.b.c", "djr_abc", "é" * 10, "\ud800"])
def test_what_is_no_token_is_refused(trusted, text):
    with pytest.raises(tokens.InvalidTokenError):
        verify(text, trusted)


def test_a_refusal_never_repeats_the_token(issue, trusted):
    token = issue(audience="django")

    with pytest.raises(tokens.InvalidTokenError) as refusal:
        verify(token, trusted)

    assert token not in str(refusal.value)


def test_a_lifetime_over_the_type_s_maximum_is_not_signed(issue):
    with pytest.raises(ValueError, match="at most"):
        issue(lifetime=timedelta(minutes=5))
