"""LISTEN and NOTIFY: whoever waits for a change is woken when it commits."""

import psycopg
from django.db import connection

OUTBOX = "mandate_outbox"
RUNS = "mandate_runs"


def notify(channel: str, payload: str = "") -> None:
    """Wake the listeners of `channel` when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])


def connection_parameters() -> dict[str, str | int]:
    """Return how to open a connection of one's own to Django's database.

    LISTEN belongs to one session: it can use neither Django's pool nor a pooler in transaction mode.
    """
    database = connection.settings_dict
    named = {
        "dbname": database["NAME"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "host": database["HOST"],
        "port": database["PORT"],
    }
    ours = {"pool", "server_side_binding", "isolation_level", "assume_role"}
    options = {name: value for name, value in database["OPTIONS"].items() if name not in ours}
    return {name: value for name, value in named.items() if value} | options


class Listener:
    """One session that listens to one channel."""

    def __init__(self, channel: str) -> None:
        self._connection = psycopg.connect(**connection_parameters(), autocommit=True)  # type: ignore[arg-type]
        self._connection.execute(f"LISTEN {channel}")

    def wait(self, timeout: float) -> bool:
        """Wait for a notification; several that came together are one.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        return bool(list(self._connection.notifies(timeout=timeout, stop_after=1)))

    def close(self) -> None:
        self._connection.close()
