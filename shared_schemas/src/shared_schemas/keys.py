"""Ed25519 key pairs as one-line texts, named by their RFC 7638 thumbprint."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ed25519

SIGNING_PREFIX = "mandate_sk_"
TRUSTED_PREFIX = "mandate_pk_"

_TEXT = re.compile(r"(?P<prefix>mandate_[sp]k_)(?P<body>[A-Za-z0-9_-]{43})")

TrustedKeys = Mapping[str, ed25519.Ed25519PublicKey]
"""The other side's public keys by `kid`; two at a time while a key is being changed."""


class InvalidKeyError(ValueError):
    """A text is not the key it should be. The text itself is never repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """This side's private key."""

    kid: str
    private: ed25519.Ed25519PrivateKey = field(repr=False)

    def public_text(self) -> str:
        """Return what the other side lists among its trusted keys."""
        return TRUSTED_PREFIX + _encode(self.private.public_key().public_bytes_raw())


def generate() -> str:
    """Return the text of a new private key."""
    return SIGNING_PREFIX + _encode(ed25519.Ed25519PrivateKey.generate().private_bytes_raw())


def parse_signing(text: str) -> SigningKey:
    """Read a private key.

    Raises:
        InvalidKeyError: it is not `mandate_sk_` and 32 bytes of base64url.
    """
    private = ed25519.Ed25519PrivateKey.from_private_bytes(_decode(text, SIGNING_PREFIX))
    return SigningKey(kid=_thumbprint(private.public_key()), private=private)


def parse_trusted(texts: Iterable[str]) -> TrustedKeys:
    """Read public keys.

    Raises:
        InvalidKeyError: one is not `mandate_pk_` and 32 bytes of base64url, or there is none.
    """
    keys = [ed25519.Ed25519PublicKey.from_public_bytes(_decode(text, TRUSTED_PREFIX)) for text in texts]
    if not keys:
        raise InvalidKeyError("No trusted key is given; the other side could never be believed.")
    return {_thumbprint(key): key for key in keys}


def _thumbprint(key: ed25519.Ed25519PublicKey) -> str:
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{_encode(key.public_bytes_raw())}"}}'
    return _encode(hashlib.sha256(members.encode()).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str, prefix: str) -> bytes:
    found = _TEXT.fullmatch(text.strip())
    if found is None or found["prefix"] != prefix:
        raise InvalidKeyError(f"A key must be {prefix!r} followed by 43 characters of base64url.")
    return base64.urlsafe_b64decode(found["body"] + "=")
