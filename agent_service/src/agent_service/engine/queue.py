"""The queue of runs: a pgqueuer job says `work on run X`, our row says everything else."""

from uuid import UUID

from agent_service.engine import run


class RunQueue:
    """Takes runs in, and takes them back."""

    async def submit(self, submission: run.Submission) -> run.Run:
        """Keep a run and queue it, or return the one its idempotency key made before.

        Raises:
            RequestError: NOT_FOUND for the thread, THREAD_BUSY, IDEMPOTENCY_KEY_REUSED, NO_SUCH_INTERRUPT,
                NOT_OFFERED for a strategy that is not there yet.
        """
        raise NotImplementedError

    async def cancel(
        self, run_id: UUID, *, thread_id: UUID, owner: str, action: run.CancelAction = run.CancelAction.INTERRUPT
    ) -> run.Run:
        """Ask for a run's end; one that no worker has ends at once. Reading its events shows when it did.

        Raises:
            RequestError: NOT_FOUND; NOT_OFFERED for a rollback; CONFLICT if it has ended.
        """
        raise NotImplementedError
