"""Shipped fakes: each stands in for something real, over the same wire."""
