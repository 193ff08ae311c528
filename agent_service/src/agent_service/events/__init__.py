"""What a run says while it works: an append-only log, and its form on the wire."""
