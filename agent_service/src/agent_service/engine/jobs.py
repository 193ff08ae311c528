"""pgqueuer jobs that say `work on run X`; only the head run of a thread has one."""

from collections.abc import Collection

from pgqueuer.adapters.persistence.queries import Queries

from agent_service import database
from agent_service.engine import driver, run

LANE = "run"
"""Where the runs of all graphs stand whose number is not limited."""


def lane(graph_id: str, *, limited: Collection[str]) -> str:
    """Return the entrypoint for the runs of a graph."""
    return f"{LANE}:{graph_id}" if graph_id in limited else LANE


async def enqueue(connection: database.Connection, head: run.Run) -> None:
    """Queue a run in the transaction of the connection."""
    queries = Queries(driver.TransactionDriver(connection))
    wait = head.not_before - run.now()
    await queries.enqueue(
        head.lane, head.run_id.bytes, head.priority, wait if wait.total_seconds() > 0 else None
    )
