"""A LangGraph checkpointer on Django's ORM, for graphs that run inside Django.

It needs `django-mandate[langgraph]`; nothing else of Mandate imports this package but the command that runs
a graph.
"""

from mandate.checkpointing.saver import DjangoSaver

__all__ = ["DjangoSaver"]
