from datetime import UTC, datetime, timedelta

import pytest

from shared_schemas import keys, signatures

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BODY = b'{"type":"run.ended"}'


@pytest.fixture(scope="module")
def key():
    return keys.parse_signing(keys.generate())


def verify(key, headers, *, body=BODY, now=NOW, **changes):
    given = {
        "message_id": headers["webhook-id"],
        "timestamp": headers["webhook-timestamp"],
        "signature": headers["webhook-signature"],
    }
    trusted = keys.parse_trusted([key.public_text()])
    signatures.verify(trusted, body=body, now=now, **(given | changes))


def test_a_signed_webhook_is_believed(key):
    headers = signatures.sign(key, message_id="msg_1", sent_at=NOW, body=BODY)

    verify(key, headers)


def test_one_good_signature_among_others_is_enough(key):
    headers = signatures.sign(key, message_id="msg_1", sent_at=NOW, body=BODY)

    verify(key, headers, signature=f"v1,AAAA v1a,!! v1a,AAAA {headers['webhook-signature']}")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": b'{"type":"run.ended" }'}, id="another body"),
        pytest.param({"message_id": "msg_2"}, id="another id"),
        pytest.param({"timestamp": str(int(NOW.timestamp()) + 1)}, id="another time"),
        pytest.param({"timestamp": "soon"}, id="no time"),
        pytest.param({"timestamp": "٣"}, id="digits of another script"),
        pytest.param({"signature": ""}, id="no signature"),
        pytest.param({"now": NOW + timedelta(minutes=6)}, id="old"),
        pytest.param({"now": NOW - timedelta(minutes=6)}, id="early"),
    ],
)
def test_a_webhook_that_was_changed_or_kept_is_refused(key, changes):
    headers = signatures.sign(key, message_id="msg_1", sent_at=NOW, body=BODY)

    with pytest.raises(signatures.InvalidSignatureError):
        verify(key, headers, **changes)


def test_another_key_s_signature_is_refused(key):
    headers = signatures.sign(key, message_id="msg_1", sent_at=NOW, body=BODY)

    with pytest.raises(signatures.InvalidSignatureError):
        verify(keys.parse_signing(keys.generate()), headers)
