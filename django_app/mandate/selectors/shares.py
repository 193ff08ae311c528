"""Shares of counts, as figures tell them."""


def of(good: int, everything: int) -> float | None:
    """Return which share is good, from 0 to 1 with four places; nothing of nothing."""
    return round(good / everything, 4) if everything else None
