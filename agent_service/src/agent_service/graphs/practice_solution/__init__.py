"""The graph of the agent that writes a task's solution."""
