"""What the holder of a run token may do at this moment."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from mandate import exceptions, models
from mandate.selectors import sessions
from mandate.tools import context as tool_context
from mandate.tools import declaration, registry
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One believed run token, with its run, agent and users."""

    session: models.ToolSession

    @property
    def run(self) -> models.Run:
        return self.session.run

    @property
    def agent_user(self) -> AbstractBaseUser:
        return self.run.agent.user

    def context(self, *, key: str | None = None) -> tool_context.Context:
        """Return what a tool is told about its call."""
        return tool_context.Context(
            run_id=self.run.pk, agent_user=self.agent_user, acting_for=self.run.started_by, key=key
        )


def read(token_hash: str, *, now: datetime | None = None) -> Grant:
    """Return what a token grants.

    Raises:
        RequestRefused: UNAUTHENTICATED, TOKEN_EXPIRED, RUN_NOT_ACTIVE, STALE_WORKER, AGENT_PAUSED, FORBIDDEN.
    """
    session = sessions.by_token(token_hash)
    if session is None:
        raise exceptions.RequestRefused(ErrorCode.UNAUTHENTICATED, "No tool session has this run token.")
    _check_session(session, now or timezone.now())
    check_agent(session.run)
    return Grant(session=session)


def check_agent(run: models.Run) -> None:
    """Refuse what a person switched off.

    Raises:
        RequestRefused: AGENT_PAUSED, FORBIDDEN.
    """
    if run.agent.is_paused:
        raise exceptions.RequestRefused(ErrorCode.AGENT_PAUSED, f"The agent {run.agent.slug!r} is paused.")
    if not run.agent.user.is_active or not run.started_by.is_active:
        raise exceptions.RequestRefused(
            ErrorCode.FORBIDDEN, "The agent's account, or that of the person it acts for, is switched off."
        )


def granted_tool(run: models.Run, name: str) -> declaration.Tool:
    """Return a tool that the run may call: declared, and still in the mandates of the run and its agent.

    Raises:
        RequestRefused: UNKNOWN_TOOL, TOOL_NOT_GRANTED.
    """
    tool = registry.declared().get(name)
    if tool is None:
        raise exceptions.RequestRefused(ErrorCode.UNKNOWN_TOOL, f"No tool {name!r} is declared.")
    if name not in run.tools or name not in run.agent.tools:
        raise exceptions.RequestRefused(
            ErrorCode.TOOL_NOT_GRANTED, f"The mandate of this run does not have the tool {name!r}."
        )
    return tool


def granted_tools(run: models.Run) -> list[declaration.Tool]:
    """Return the tools that the run may call, in the order of its mandate."""
    declared = registry.declared()
    return [declared[name] for name in run.tools if name in run.agent.tools and name in declared]


def _check_session(session: models.ToolSession, now: datetime) -> None:
    run = session.run
    if session.expires_at <= now:
        raise exceptions.RequestRefused(ErrorCode.TOKEN_EXPIRED, "The run token has expired.")
    if run.status != RunStatus.RUNNING:
        raise exceptions.RequestRefused(
            ErrorCode.RUN_NOT_ACTIVE, f"The run is {run.status!r}; no tool may be called."
        )
    if session.epoch < run.epoch:
        raise exceptions.RequestRefused(ErrorCode.STALE_WORKER, "A newer worker holds the run.")
    if session.revoked_at is not None:
        raise exceptions.RequestRefused(ErrorCode.UNAUTHENTICATED, "The run token was revoked.")
