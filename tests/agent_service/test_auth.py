from datetime import UTC, datetime, timedelta

import pytest

from agent_service import auth, exceptions
from shared_schemas import keys, tokens
from shared_schemas.problems import ErrorCode

DJANGO = keys.parse_signing(keys.generate())
TRUSTED = keys.parse_trusted([DJANGO.public_text()])


@pytest.fixture
def token():
    """Return a function that signs a token which is accepted unless told otherwise."""

    def issue(key=DJANGO, **changes):
        fields = {
            "typ": tokens.TokenType.SERVICE,
            "issuer": tokens.DJANGO,
            "audience": tokens.AGENT_SERVICE,
            "subject": "7",
            "token_id": "t-1",
            "scopes": frozenset({tokens.Scope.RUNS_READ}),
        }
        return tokens.issue(key, **fields | changes)

    return issue


@pytest.mark.parametrize("typ", [tokens.TokenType.SERVICE, tokens.TokenType.USER])
def test_a_token_of_django_names_its_caller(token, typ):
    caller = auth.authenticate(token(typ=typ), trusted=TRUSTED)

    assert (caller.subject, caller.scopes, caller.type) == ("7", {"runs:read"}, typ)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param(
            {"key": keys.parse_signing(keys.generate())}, ErrorCode.UNAUTHENTICATED, id="foreign key"
        ),
        pytest.param({"typ": tokens.TokenType.WORKER}, ErrorCode.UNAUTHENTICATED, id="type of the other way"),
        pytest.param({"audience": tokens.DJANGO}, ErrorCode.UNAUTHENTICATED, id="for somebody else"),
        pytest.param({"now": timedelta(minutes=-5)}, ErrorCode.TOKEN_EXPIRED, id="expired"),
        pytest.param({"now": timedelta(minutes=5)}, ErrorCode.UNAUTHENTICATED, id="of the future"),
    ],
)
def test_a_token_is_refused(token, changes, code):
    if "now" in changes:
        changes = {"now": datetime.now(UTC) + changes["now"]}

    with pytest.raises(exceptions.RequestError) as refusal:
        auth.authenticate(token(**changes), trusted=TRUSTED)

    assert refusal.value.code is code


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": "Bearer abc"}, id="bearer"),
        pytest.param({"authorization": "bearer  abc "}, id="any case"),
        pytest.param({"x-api-key": "abc"}, id="the header of LangGraph's clients"),
        pytest.param({"authorization": "Bearer abc", "x-api-key": "of another service"}, id="bearer wins"),
    ],
)
def test_a_token_is_read_from_either_header(headers):
    assert auth.read_token(headers) == "abc"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic abc"}, {"authorization": "Bearer "}])
def test_a_request_without_a_token_is_refused(headers):
    with pytest.raises(exceptions.RequestError) as refusal:
        auth.read_token(headers)

    assert refusal.value.code is ErrorCode.UNAUTHENTICATED


def test_a_scope_that_the_token_lacks_is_refused(token):
    caller = auth.authenticate(token(), trusted=TRUSTED)

    with pytest.raises(exceptions.RequestError, match="runs:write") as refusal:
        caller.require(tokens.Scope.RUNS_WRITE)

    assert refusal.value.code is ErrorCode.FORBIDDEN
