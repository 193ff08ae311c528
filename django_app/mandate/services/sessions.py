"""Opens, renews and revokes tool sessions: a worker's right to call one run's tools."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mandate import conf, exceptions, models, tokens
from mandate.services import grants, runs
from shared_schemas import crashing
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import SessionCreate


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session and its token, which is known here only."""

    session: models.ToolSession
    token: str = field(repr=False)


@transaction.atomic
def open_or_renew(request: SessionCreate, *, now: datetime | None = None) -> Opened:
    """Give a run's worker a token. An earlier token of the session, or of an older worker, dies at once.

    Raises:
        RequestRefused: NOT_FOUND, FORBIDDEN, STALE_WORKER, RUN_NOT_ACTIVE, AGENT_PAUSED.
    """
    moment = now or timezone.now()
    run = runs.locked(request.run_id)
    _check(run, request)
    if request.epoch > run.epoch:
        runs.revoke_sessions(run)
        run.epoch = request.epoch
        run.save(update_fields=["epoch", "updated_at"])
    runs.begin(run)
    opened = _with_new_token(run, moment)
    crashing.point("session.before_commit")
    return opened


def revoke(token_hash: str) -> None:
    """Take a token away. One that has gone already is no error: the first answer may have been lost.

    Raises:
        RequestRefused: UNAUTHENTICATED, no session ever had it.
    """
    session = models.ToolSession.objects.filter(token_hash=token_hash)
    if not session.filter(revoked_at=None).update(revoked_at=timezone.now()) and not session.exists():
        raise exceptions.RequestRefused(ErrorCode.UNAUTHENTICATED, "No tool session has this run token.")


def _check(run: models.Run, request: SessionCreate) -> None:
    if request.thread_id != str(run.thread_id):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, "The run belongs to another thread.")
    if run.is_ended:
        raise exceptions.RequestRefused(ErrorCode.RUN_NOT_ACTIVE, f"The run is {run.status!r}.")
    if request.epoch < run.epoch:
        raise exceptions.RequestRefused(ErrorCode.STALE_WORKER, "A newer worker holds the run.")
    grants.check_agent(run)


def _with_new_token(run: models.Run, now: datetime) -> Opened:
    token = tokens.new_run_token()
    session, _ = models.ToolSession.objects.get_or_create(
        run=run,
        epoch=run.epoch,
        defaults={"token_hash": tokens.hash_run_token(token), "expires_at": now},
    )
    if session.revoked_at is not None:
        # What was revoked when its run parked or ended never comes back: the next worker has a new epoch.
        raise exceptions.RequestRefused(ErrorCode.STALE_WORKER, "The session of this worker was closed.")
    session.token_hash = tokens.hash_run_token(token)
    session.expires_at = now + conf.settings().run_token_lifetime
    session.save(update_fields=["token_hash", "expires_at"])
    return Opened(session=session, token=token)
