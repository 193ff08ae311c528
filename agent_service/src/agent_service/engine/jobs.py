"""pgqueuer jobs that say `work on run X`; only the head run of a thread has one."""

from collections.abc import Collection

from agent_service import database
from agent_service.engine import rows, run

LANE = "run"
"""Where the runs of all graphs stand whose number is not limited."""


def lane(graph_id: str, *, limited: Collection[str]) -> str:
    """Return the entrypoint for the runs of a graph."""
    return f"{LANE}:{graph_id}" if graph_id in limited else LANE


async def enqueue(connection: database.Connection, head: run.Run) -> None:
    """Queue a run in the transaction of the connection."""
    values = {"run_id": head.run_id, "lane": head.lane, "priority": head.priority, "due": head.not_before}
    await connection.execute(rows.QUERIES["enqueue_run"], values)
