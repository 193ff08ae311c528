"""Runs LangGraph graphs beside Django, over the LangGraph Server API."""
