"""Figures as people read them; what is not known is a dash."""

from decimal import Decimal

from django import template

register = template.Library()

_UNKNOWN = "\N{EN DASH}"


@register.filter
def seconds(value: float | None) -> str:
    """Return a time to a tenth of a second, or to a hundredth where it is shorter than one."""
    if value is None:
        return _UNKNOWN
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


@register.filter
def share(value: float | None) -> str:
    """Return a part of 1 as a percentage."""
    return _UNKNOWN if value is None else f"{value:.0%}"


@register.filter
def changed(similarity: float | None) -> str:
    """Return what people changed, of how much they left as it was."""
    return share(None if similarity is None else 1 - similarity)


@register.filter
def money(value: Decimal | None) -> str:
    """Return an amount in the currency of the catalogue's prices, which has no name there."""
    return _UNKNOWN if value is None else f"{value:.4f}"


@register.filter
def whole(value: int | None) -> str:
    """Return a number with its thousands apart."""
    return _UNKNOWN if value is None else f"{value:,}"
