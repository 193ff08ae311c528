"""The LangGraph Server API over HTTP."""
