"""What a run's model calls used, and what that costs."""

import re
from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field

from shared_schemas import base

MILLION = 1_000_000

_VERSION = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class ModelUsage(base.Answer):
    """The sum over one run's calls of one model."""

    model: str
    calls: int = Field(default=0, ge=0)
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    first_token: float | None = Field(default=None, ge=0)
    """Seconds from the first question until the first piece of its answer; nothing where it was not streamed."""


class Price(base.Answer):
    """What a million tokens cost."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)

    def of(self, *, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what so many tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / MILLION


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """Return the price of a model, by its name or by that name without its version's date or its provider.

    Providers answer under the dated name of a model: `gpt-5-mini-2025-08-07` for `gpt-5-mini`.
    """
    bare = model.partition(":")[2] or model
    names = (model, _VERSION.sub("", model), bare, _VERSION.sub("", bare))
    return next((prices[name] for name in names if name in prices), None)
