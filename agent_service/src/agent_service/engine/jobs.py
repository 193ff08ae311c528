"""pgqueuer jobs that say `work on run X`; only the head run of a thread has one."""

from pgqueuer.adapters.persistence.queries import Queries

from agent_service import database
from agent_service.engine import driver, run

ENTRYPOINT = "run"


async def enqueue(connection: database.Connection, head: run.Run) -> None:
    """Queue a run in the transaction of the connection."""
    queries = Queries(driver.TransactionDriver(connection))
    wait = head.not_before - run.now()
    await queries.enqueue(
        ENTRYPOINT, head.run_id.bytes, head.priority, wait if wait.total_seconds() > 0 else None
    )
