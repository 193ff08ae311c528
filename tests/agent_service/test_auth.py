from datetime import UTC, datetime, timedelta

import pytest

from agent_service import auth, exceptions
from shared_schemas import keys, tokens
from shared_schemas.problems import ErrorCode

DJANGO = keys.parse_signing(keys.generate())
TRUSTED = keys.parse_trusted([DJANGO.public_text()])


def authenticate(token):
    return auth.Authenticator(trusted=TRUSTED).authenticate(token)


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
    caller = authenticate(token(typ=typ))

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
        authenticate(token(**changes))

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
    caller = authenticate(token())

    with pytest.raises(exceptions.RequestError, match="runs:write") as refusal:
        caller.require(tokens.Scope.RUNS_WRITE)

    assert refusal.value.code is ErrorCode.FORBIDDEN


def test_a_token_that_was_believed_once_expires_all_the_same(token):
    known = auth.Authenticator(trusted=TRUSTED)
    lasting = token(typ=tokens.TokenType.USER)
    end = datetime.now(UTC) + tokens.MAX_AGE[tokens.TokenType.USER]
    caller = known.authenticate(lasting)

    assert known.authenticate(lasting, now=end - timedelta(minutes=1)) == caller
    with pytest.raises(exceptions.RequestError) as refusal:
        known.authenticate(lasting, now=end + timedelta(minutes=5))

    assert refusal.value.code is ErrorCode.TOKEN_EXPIRED


def test_a_token_that_differs_in_one_sign_is_not_believed_for_another(token):
    known = auth.Authenticator(trusted=TRUSTED)
    good = token()
    known.authenticate(good)

    with pytest.raises(exceptions.RequestError) as refusal:
        known.authenticate(good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:])

    assert refusal.value.code is ErrorCode.UNAUTHENTICATED


def test_only_so_many_tokens_are_remembered(token):
    known = auth.Authenticator(trusted=TRUSTED)

    for number in range(auth.REMEMBERED + 1):
        known.authenticate(token(token_id=str(number)))

    assert len(known._believed) == auth.REMEMBERED
