from decimal import Decimal

import pytest

from shared_schemas.usage import Price, price_of

PRICES = {
    "gpt-5": Price(input=Decimal("1.25"), output=Decimal(10)),
    "gpt-5-mini": Price(input=Decimal("0.25"), output=Decimal(2)),
}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        pytest.param("gpt-5-mini", "gpt-5-mini", id="its name"),
        pytest.param("gpt-5-mini-2025-08-07", "gpt-5-mini", id="a dated version"),
        pytest.param("gpt-5-20250807", "gpt-5", id="a date without hyphens"),
        pytest.param("openai:gpt-5-2025-08-07", "gpt-5", id="with its provider"),
    ],
)
def test_a_model_has_the_price_of_its_name(model, named):
    assert price_of(model, PRICES) == PRICES[named]


@pytest.mark.parametrize("model", ["gpt-5-nano", "gpt-5-mini-tuned", "o3"])
def test_another_model_has_no_price(model):
    assert price_of(model, PRICES) is None


def test_a_price_is_for_a_million_tokens():
    assert PRICES["gpt-5-mini"].of(input_tokens=1000, output_tokens=500) == Decimal("0.00125")
