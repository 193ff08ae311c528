"""The graph that writes practice tasks for a lesson."""
