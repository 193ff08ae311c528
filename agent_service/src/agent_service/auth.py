"""Who is asking: reads the tokens that Django signs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent_service import exceptions
from shared_schemas import keys, tokens
from shared_schemas.problems import ErrorCode

_ACCEPTED = frozenset({tokens.TokenType.SERVICE, tokens.TokenType.USER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a request is made, and what it may do."""

    subject: str
    """The acting user's id: the owner of every thread and run the request may touch."""

    scopes: frozenset[str]
    type: tokens.TokenType

    @property
    def is_person(self) -> bool:
        """Tell whether the token is a person's own, and not one that Django uses for somebody."""
        return self.type is tokens.TokenType.USER

    def require(self, scope: tokens.Scope) -> None:
        """Refuse the caller without the scope.

        Raises:
            RequestError: the token does not carry it.
        """
        if scope not in self.scopes:
            raise exceptions.RequestError(ErrorCode.FORBIDDEN, f"The token lacks the scope {scope.value!r}.")

    def require_change(self, *, is_mandated: bool) -> None:
        """Refuse a person's own token to change a thread of a mandate.

        Raises:
            RequestError: FORBIDDEN.
        """
        if self.is_person and is_mandated:
            raise exceptions.RequestError(
                ErrorCode.FORBIDDEN,
                "What a run with a mandate does is decided in Django; this token only reads it.",
            )


def read_token(headers: Mapping[str, str]) -> str:
    """Return the token of `Authorization: Bearer`, else of `x-api-key`, where LangGraph's clients put it.

    Raises:
        RequestError: there is neither.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    if key := headers.get("x-api-key", "").strip():
        return key
    raise exceptions.RequestError(
        ErrorCode.UNAUTHENTICATED, "A token is needed, as 'Authorization: Bearer' or as 'x-api-key'."
    )


def authenticate(token: str, *, trusted: keys.TrustedKeys, now: datetime | None = None) -> Caller:
    """Return the caller that a token names.

    Raises:
        RequestError: the token is expired, or not to be believed.
    """
    try:
        typ, claims = tokens.verify(
            token, types=_ACCEPTED, audience=tokens.AGENT_SERVICE, trusted=trusted, now=now
        )
    except tokens.ExpiredTokenError as error:
        raise exceptions.RequestError(ErrorCode.TOKEN_EXPIRED, str(error)) from None
    except tokens.InvalidTokenError as error:
        raise exceptions.RequestError(ErrorCode.UNAUTHENTICATED, str(error)) from None
    return Caller(subject=claims.sub, scopes=claims.scopes, type=typ)
