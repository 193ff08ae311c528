"""The development stack: an embedded PostgreSQL and the commands that run everything on one machine."""
