"""Django's tools: how they are called, and how a graph sees them."""
