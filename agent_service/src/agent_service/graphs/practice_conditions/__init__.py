"""The graph of the agent that drafts a lesson's tasks."""
