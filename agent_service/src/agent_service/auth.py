"""Who is asking: reads the tokens that Django signs."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent_service import exceptions
from shared_schemas import keys, tokens
from shared_schemas.problems import ErrorCode

REMEMBERED = 1000
"""Tokens that are believed without another look at their signature."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """Reads tokens, and remembers those that it believed until they expire."""

    trusted: keys.TrustedKeys
    _believed: OrderedDict[bytes, tuple[Caller, float]] = field(default_factory=OrderedDict, init=False)
    """The caller and the end of each token, by its digest: no token is kept."""

    def authenticate(self, token: str, *, now: datetime | None = None) -> Caller:
        """Return the caller that a token names.

        Raises:
            RequestError: the token is expired, or not to be believed.
        """
        now = now or datetime.now(UTC)
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._believed.get(digest)
        if known is not None and now.timestamp() < known[1]:
            self._believed.move_to_end(digest)
            return known[0]
        caller, _ = self._believed[digest] = _read(token, trusted=self.trusted, now=now)
        if len(self._believed) > REMEMBERED:
            self._believed.popitem(last=False)
        return caller


def _read(token: str, *, trusted: keys.TrustedKeys, now: datetime) -> tuple[Caller, float]:
    try:
        typ, claims = tokens.verify(
            token, types=_ACCEPTED, audience=tokens.AGENT_SERVICE, trusted=trusted, now=now
        )
    except tokens.ExpiredTokenError as error:
        raise exceptions.RequestError(ErrorCode.TOKEN_EXPIRED, str(error)) from None
    except tokens.InvalidTokenError as error:
        raise exceptions.RequestError(ErrorCode.UNAUTHENTICATED, str(error)) from None
    # What is past its end, and only let through for clocks that differ, is looked at each time.
    return Caller(subject=claims.sub, scopes=claims.scopes, type=typ), claims.exp
