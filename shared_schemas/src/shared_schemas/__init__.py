"""What crosses the wire between the two sides of Mandate.

Neither Django nor LangGraph is imported here: each side installs this package beside its own framework.
"""
