"""Credentials: the agent service's signed tokens in, ours out, and the opaque run tokens.

A run token is 256 random bits. It is kept as a SHA-256 hash only, which needs no salt for that many bits.
"""

import hashlib
import secrets
import uuid
from datetime import timedelta

from django.contrib.auth.base_user import AbstractBaseUser

from mandate import conf, exceptions
from shared_schemas import tokens
from shared_schemas.problems import ErrorCode

RUN_TOKEN_PREFIX = "djr_"  # noqa: S105 - a prefix, not a token

_SCOPES = frozenset({tokens.Scope.RUNS_READ, tokens.Scope.RUNS_WRITE})


def bearer(authorization: str) -> str:
    """Return the credential in an `Authorization` header.

    Raises:
        RequestRefused: UNAUTHENTICATED, there is none.
    """
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthenticated("Send 'Authorization: Bearer' and a token.")
    return credential.strip()


def verify_worker(token: str) -> tokens.Claims:
    """Return what a token of the agent service says.

    Raises:
        RequestRefused: UNAUTHENTICATED or TOKEN_EXPIRED.
    """
    try:
        _, claims = tokens.verify(
            token,
            types=frozenset({tokens.TokenType.WORKER}),
            audience=tokens.DJANGO,
            trusted=conf.settings().trusted_keys,
        )
    except tokens.ExpiredTokenError as error:
        raise exceptions.RequestRefused(ErrorCode.TOKEN_EXPIRED, str(error)) from None
    except tokens.InvalidTokenError as error:
        raise _unauthenticated(str(error)) from None
    if claims.iss != tokens.AGENT_SERVICE:
        raise _unauthenticated(f"The token was issued by {claims.iss!r}, not by {tokens.AGENT_SERVICE!r}.")
    return claims


def new_run_token() -> str:
    """Return a new run token; it is shown once, to the worker that asked."""
    return RUN_TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_run_token(token: str) -> str:
    """Return what is kept of a run token.

    Raises:
        RequestRefused: UNAUTHENTICATED, it has not the form of one.
    """
    if not token.startswith(RUN_TOKEN_PREFIX):
        raise _unauthenticated("Send the run token of a tool session.")
    return hashlib.sha256(token.encode()).hexdigest()


def for_service(user: AbstractBaseUser) -> str:
    """Return a bearer for one request of Django to the agent service, acting for `user`."""
    return _issue(tokens.TokenType.SERVICE, user, scopes=_SCOPES | {tokens.Scope.MANDATE})


def for_user(user: AbstractBaseUser, *, lifetime: timedelta | None = None) -> str:
    """Return a bearer for a person's own client of the agent service, for that person's threads only.

    Raises:
        ValueError: `lifetime` is longer than twelve hours.
    """
    return _issue(tokens.TokenType.USER, user, scopes=_SCOPES, lifetime=lifetime)


def _issue(
    typ: tokens.TokenType,
    user: AbstractBaseUser,
    *,
    scopes: frozenset[tokens.Scope],
    lifetime: timedelta | None = None,
) -> str:
    return tokens.issue(
        conf.settings().signing_key,
        typ=typ,
        issuer=tokens.DJANGO,
        audience=tokens.AGENT_SERVICE,
        subject=str(user.pk),
        token_id=str(uuid.uuid4()),
        scopes=scopes,
        lifetime=lifetime,
    )


def _unauthenticated(detail: str) -> exceptions.RequestRefused:
    return exceptions.RequestRefused(ErrorCode.UNAUTHENTICATED, detail)
