"""What the holder of a run token may do at this moment."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from mandate import exceptions, models
from mandate.selectors import sessions, switches
from mandate.tools import context as tool_context
from mandate.tools import declaration, registry
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One believed run token, with its run, agent and users."""

    session: models.ToolSession
    paused_tools: Collection[str]
    key_is_known: bool = False
    """The call that asks was made before, by its key."""

    @property
    def run(self) -> models.Run:
        return self.session.run

    @property
    def agent_user(self) -> AbstractBaseUser:
        return self.run.agent.user

    def context(self, tool: declaration.Tool, *, key: str | None = None) -> tool_context.Context:
        """Return what a tool is told about its call."""
        return tool_context.Context(
            run_id=self.run.pk,
            agent_user=self.agent_user,
            acting_for=self.run.started_by,
            key=key,
            records=tool.records,
        )

    def tool(self, name: str) -> declaration.Tool:
        """Return a tool that may be called now; refuses as `granted_tool`."""
        return granted_tool(self.run, name, paused=self.paused_tools)

    def tools(self) -> list[declaration.Tool]:
        """Return the tools that may be called now, in the order of the mandate."""
        return granted_tools(self.run, paused=self.paused_tools)


def read(token_hash: str, *, key: str | None = None, now: datetime | None = None) -> Grant:
    """Return what a token grants, to a call with this key.

    Raises:
        RequestRefused: UNAUTHENTICATED, TOKEN_EXPIRED, RUN_NOT_ACTIVE, STALE_WORKER, AGENT_PAUSED, FORBIDDEN.
    """
    held = sessions.by_token(token_hash, key=key)
    if held is None:
        raise exceptions.RequestRefused(ErrorCode.UNAUTHENTICATED, "No tool session has this run token.")
    _check_session(held.session, now or timezone.now())
    check_agent(held.session.run)
    return Grant(session=held.session, paused_tools=held.paused_tools, key_is_known=held.key_is_known)


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


def granted_tool(run: models.Run, name: str, *, paused: Collection[str] | None = None) -> declaration.Tool:
    """Return a tool that the run may call: declared, still in the mandates of run and agent, not switched off.

    Who knows already which tools are switched off says so.

    Raises:
        RequestRefused: UNKNOWN_TOOL, TOOL_NOT_GRANTED, TOOL_PAUSED.
    """
    tool = registry.declared().get(name)
    if tool is None:
        raise exceptions.RequestRefused(ErrorCode.UNKNOWN_TOOL, f"No tool {name!r} is declared.")
    if name not in run.tools or name not in run.agent.tools:
        raise exceptions.RequestRefused(
            ErrorCode.TOOL_NOT_GRANTED, f"The mandate of this run does not have the tool {name!r}."
        )
    if name in (switches.paused_tools() if paused is None else paused):
        raise exceptions.RequestRefused(ErrorCode.TOOL_PAUSED, f"The tool {name!r} is switched off.")
    return tool


def granted_tools(run: models.Run, *, paused: Collection[str] | None = None) -> list[declaration.Tool]:
    """Return the tools that the run may call, in the order of its mandate."""
    declared = registry.declared()
    off = switches.paused_tools() if paused is None else paused
    return [
        declared[name]
        for name in run.tools
        if name in run.agent.tools and name in declared and name not in off
    ]


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
