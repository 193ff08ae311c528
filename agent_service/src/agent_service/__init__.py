"""Runs LangGraph graphs beside Django, over the LangGraph Server API."""

import os

# LangGraph reads it when it is first imported: checkpoints then rebuild only plain values, LangChain's
# messages, and the types that a graph's own schemas name.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
