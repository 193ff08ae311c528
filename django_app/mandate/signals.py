"""What Mandate tells a project's own code, in the transaction in which it happens.

Receivers are called at once, on one connection, with the run locked. One that raises undoes the change: whoever
brought the news tries again later. So do in them what is written to this database and nothing slow; catch what
may fail for good.
"""

from django.dispatch import Signal

run_ended = Signal()
"""A run is `completed`, `failed` or `cancelled` now: `sender` is the class `Run`, `run` the run with its result.

A failed run that goes on later ends again, and this is sent again."""
