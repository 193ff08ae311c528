"""Answers a question from the records that a search finds, and from nothing else."""
