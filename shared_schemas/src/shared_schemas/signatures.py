"""Webhook signatures: Standard Webhooks, asymmetric scheme `v1a` (Ed25519).

Specification: https://www.standardwebhooks.com. Its Python library signs with shared secrets only,
and the two sides share none.
"""

import base64
import binascii
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from shared_schemas import keys

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

TOLERANCE = timedelta(minutes=5)


class InvalidSignatureError(ValueError):
    """A webhook is not signed by a trusted key, or its time is off."""


def sign(key: keys.SigningKey, *, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a webhook."""
    timestamp = str(int(sent_at.timestamp()))
    signature = key.private.sign(_signed_content(message_id, timestamp, body))
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: f"v1a,{base64.b64encode(signature).decode()}",
    }


def verify(
    trusted: keys.TrustedKeys, *, message_id: str, timestamp: str, signature: str, body: bytes, now: datetime
) -> None:
    """Check the three headers of a webhook against its body as received.

    Raises:
        InvalidSignatureError: the time is not within `TOLERANCE`, or no signature holds.
    """
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:  # noqa: PLR2004 - year 33658
        raise InvalidSignatureError("webhook-timestamp must be seconds since 1970.")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise InvalidSignatureError("webhook-timestamp is more than five minutes away from now.")
    content = _signed_content(message_id, timestamp, body)
    if not any(_holds(trusted, candidate, content) for candidate in signature.split(" ")):
        raise InvalidSignatureError("No signature of the webhook was made by a trusted key.")


def _signed_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _holds(trusted: keys.TrustedKeys, candidate: str, content: bytes) -> bool:
    version, _, text = candidate.partition(",")
    if version != "v1a":
        return False
    try:
        signature = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return any(_made_by(key, signature, content) for key in trusted.values())


def _made_by(key: ed25519.Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
