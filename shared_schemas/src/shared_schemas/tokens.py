"""Signed tokens between the two sides: compact JWTs, EdDSA only (RFC 8725, RFC 8037)."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
from pydantic import ValidationError

from shared_schemas import base, keys

MAX_BYTES = 4096
LEEWAY = timedelta(seconds=5)

AGENT_SERVICE = "agent-service"
DJANGO = "django"

_HEADER_NAMES = frozenset({"alg", "typ", "kid"})


class TokenType(StrEnum):
    """What a token is for; one type is never accepted in another's place."""

    SERVICE = "mandate-service+jwt"
    """Django calls the agent service for a user."""

    USER = "mandate-user+jwt"
    """A user's own client calls the agent service, for that user's threads only."""

    WORKER = "mandate-worker+jwt"
    """The agent service opens tool sessions at Django."""


MAX_AGE = {
    TokenType.SERVICE: timedelta(seconds=60),
    TokenType.USER: timedelta(hours=12),
    TokenType.WORKER: timedelta(seconds=60),
}


class Scope(StrEnum):
    """What a token allows at the agent service."""

    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    MANDATE = "mandate"
    """Mark a run with `metadata.mandate_run`; only Django mints it."""


class InvalidTokenError(ValueError):
    """A token is not to be believed. The message says why, and never repeats the token."""


class ExpiredTokenError(InvalidTokenError):
    """A token was good and is too old."""


class Claims(base.Answer):
    """What a verified token says."""

    iss: str
    aud: str
    sub: str
    """The acting user's id, or the name of the calling service."""

    iat: int
    exp: int
    jti: str
    scope: str = ""
    """Scopes, separated by spaces."""

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())


def issue(
    key: keys.SigningKey,
    *,
    typ: TokenType,
    issuer: str,
    audience: str,
    subject: str,
    token_id: str,
    scopes: frozenset[Scope] = frozenset(),
    lifetime: timedelta | None = None,
    now: datetime | None = None,
) -> str:
    """Sign a token.

    Raises:
        ValueError: `lifetime` is longer than the type allows.
    """
    lasting = lifetime or MAX_AGE[typ]
    if lasting > MAX_AGE[typ]:
        raise ValueError(f"A {typ.value!r} token lasts {MAX_AGE[typ]} at most, not {lasting}.")
    issued = int((now or datetime.now(UTC)).timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued,
        "exp": issued + int(lasting.total_seconds()),
        "jti": token_id,
        "scope": " ".join(sorted(scopes)),
    }
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"typ": typ.value, "kid": key.kid})


def verify(
    token: str,
    *,
    types: frozenset[TokenType],
    audience: str,
    trusted: keys.TrustedKeys,
    now: datetime | None = None,
) -> tuple[TokenType, Claims]:
    """Check a token and return its type and claims.

    Raises:
        ExpiredTokenError: it is past its `exp`.
        InvalidTokenError: anything else is wrong with it.
    """
    typ, kid = _read_header(token)
    if typ not in types:
        raise InvalidTokenError(f"A token of type {typ.value!r} is not accepted here.")
    if kid not in trusted:
        raise InvalidTokenError(f"The token is signed by a key that is not trusted here, kid {kid!r}.")
    claims = _read_claims(token, trusted, kid)
    _check_claims(claims, typ=typ, audience=audience, now=now or datetime.now(UTC))
    return typ, claims


def _read_header(token: str) -> tuple[TokenType, str]:
    if len(token) > MAX_BYTES:
        raise InvalidTokenError(f"The token is larger than {MAX_BYTES} bytes.")
    if not token.isascii():
        raise InvalidTokenError("The token is not a JWT.")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise InvalidTokenError("The token is not a JWT.") from None
    if set(header) != _HEADER_NAMES or header["alg"] != "EdDSA":
        raise InvalidTokenError("The token's header must hold alg 'EdDSA', typ and kid, and nothing else.")
    try:
        return TokenType(header["typ"]), str(header["kid"])
    except ValueError:
        raise InvalidTokenError("The token's typ is not known.") from None


def _read_claims(token: str, trusted: keys.TrustedKeys, kid: str) -> Claims:
    # Times and audience are checked below, against the clock that was given and by type.
    unchecked = dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf", "verify_aud"), False)
    try:
        payload = jwt.decode(token, trusted[kid], algorithms=["EdDSA"], options=unchecked)  # type: ignore[arg-type]
    except jwt.PyJWTError:
        raise InvalidTokenError("The token's signature does not hold.") from None
    try:
        return Claims.model_validate(payload, strict=True)
    except ValidationError:
        raise InvalidTokenError("The token's claims are not complete.") from None


def _check_claims(claims: Claims, *, typ: TokenType, audience: str, now: datetime) -> None:
    if claims.aud != audience:
        raise InvalidTokenError(f"The token is for {claims.aud!r}, not for {audience!r}.")
    if claims.exp - claims.iat > MAX_AGE[typ].total_seconds():
        raise InvalidTokenError(f"The token lasts longer than a {typ.value!r} token may.")
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    if claims.iat > moment + leeway:
        raise InvalidTokenError("The token was issued in the future; compare the clocks of the two sides.")
    if claims.exp <= moment - leeway:
        raise ExpiredTokenError("The token has expired.")
