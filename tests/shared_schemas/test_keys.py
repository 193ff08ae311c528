import pytest

from shared_schemas import keys


def test_a_key_pair_survives_its_texts():
    key = keys.parse_signing(keys.generate())

    trusted = keys.parse_trusted([key.public_text()])

    assert list(trusted) == [key.kid]


def test_a_kid_is_the_rfc_7638_thumbprint():
    # The key pair and thumbprint of RFC 8037, appendix A.
    key = keys.parse_signing("mandate_sk_nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")

    assert key.public_text() == "mandate_pk_11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("mandate_sk_", id="prefix alone"),
        pytest.param("mandate_sk_c2hvcnQ", id="too short"),
        pytest.param("mandate_pk_11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", id="the public key"),
        pytest.param("mandate_sk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", id="not the URL alphabet"),
    ],
)
def test_a_text_that_is_no_private_key_is_refused_without_being_repeated(text):
    with pytest.raises(keys.InvalidKeyError) as refusal:
        keys.parse_signing(text)

    assert "nWGxne" not in str(refusal.value)


def test_a_side_that_would_trust_nobody_is_told_so():
    with pytest.raises(keys.InvalidKeyError, match="No trusted key"):
        keys.parse_trusted([])


def test_a_private_key_does_not_show_itself():
    text = keys.generate()

    assert text.removeprefix("mandate_sk_") not in repr(keys.parse_signing(text))
