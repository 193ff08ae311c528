"""Reads and writes the rows of runs and threads; every statement stands in `queries.sql`."""

from uuid import UUID

from agent_service.engine import run


class Repository:
    """What the API reads and changes. Whatever belongs to another owner does not exist."""

    async def create_thread(
        self,
        *,
        thread_id: UUID,
        owner: str,
        metadata: run.JsonObject,
        may_exist: bool = False,
        idempotency: run.IdempotencyKey | None = None,
    ) -> run.Thread:
        """Create a thread; with `may_exist`, return the one that is there.

        Raises:
            RequestError: CONFLICT, or IDEMPOTENCY_KEY_REUSED.
        """
        raise NotImplementedError

    async def thread(self, thread_id: UUID, *, owner: str) -> run.Thread:
        """Return a thread.

        Raises:
            RequestError: NOT_FOUND.
        """
        raise NotImplementedError

    async def update_thread(self, thread_id: UUID, *, owner: str, metadata: run.JsonObject) -> run.Thread:
        """Merge metadata into a thread's.

        Raises:
            RequestError: NOT_FOUND.
        """
        raise NotImplementedError

    async def delete_thread(self, thread_id: UUID, *, owner: str) -> None:
        """Delete a thread with its runs, events and checkpoints.

        Raises:
            RequestError: NOT_FOUND; THREAD_BUSY while a run of it is not ended.
        """
        raise NotImplementedError

    async def run(self, run_id: UUID, *, thread_id: UUID, owner: str) -> run.Run:
        """Return a run.

        Raises:
            RequestError: NOT_FOUND.
        """
        raise NotImplementedError

    async def runs(
        self,
        thread_id: UUID,
        *,
        owner: str,
        status: run.RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[run.Run]:
        """Return a thread's runs, newest first.

        Raises:
            RequestError: NOT_FOUND.
        """
        raise NotImplementedError
