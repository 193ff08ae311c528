"""Runs: their states, the tables that keep them, the queue, and the worker that does them."""
