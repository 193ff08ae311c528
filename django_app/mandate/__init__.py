"""Mandates, a ledger of tool calls and approvals for LLM agents that work in a Django project."""
