"""Mandates, a ledger of tool calls and approvals for LLM agents that work in a Django project."""

import os

# LangGraph, where a project uses it in this process, reads it when it is first imported: it then tells a saver
# which types a graph's schemas name, and those, plain values and LangChain's messages are all that a checkpoint
# rebuilds.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
