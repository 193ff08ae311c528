"""Graphs: how they are found and built, and those that are bundled."""
