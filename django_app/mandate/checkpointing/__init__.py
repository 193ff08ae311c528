"""A LangGraph checkpointer on Django's ORM, for graphs that run inside Django.

It needs `django-mandate[langgraph]`; nothing else of Mandate imports this package but the command that runs
a graph.
"""

import os

# LangGraph reads it when it is first imported: it then tells a saver which types a graph's schemas name, and
# those, plain values and LangChain's messages are all that a checkpoint rebuilds.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

from mandate.checkpointing.saver import DjangoSaver

__all__ = ["DjangoSaver"]
