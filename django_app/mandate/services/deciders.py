"""Who may decide about a call, at this moment."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model

from mandate import exceptions, models
from mandate.selectors import approvals as selectors
from mandate.tools import context as tool_context
from mandate.tools import declaration
from shared_schemas.problems import ErrorCode


def check(approval: models.Approval, by: AbstractBaseUser) -> None:
    """Refuse who may not decide about what was asked.

    Raises:
        RequestRefused: FORBIDDEN.
    """
    person = _anew(by)
    if models.Agent.objects.filter(user=person).exists():
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, "An agent's account cannot decide.")
    if approval.four_eyes and person.pk == approval.run.started_by_id:
        raise exceptions.RequestRefused(
            ErrorCode.FORBIDDEN, "Deciding this needs another person than the one it is done for."
        )
    _check_permission(person, approval.permission, approval.record)


def check_target(
    by: AbstractBaseUser, tool: declaration.Tool, context: tool_context.Context, arguments: Any
) -> None:
    """Refuse who may not decide about what these arguments name: an edit may name another record.

    Raises:
        RequestRefused: FORBIDDEN.
    """
    if tool.approval is not None and tool.approval.record is not None:
        _check_permission(_anew(by), tool.approval.permission, tool.approval.record(context, arguments))


def _anew(by: AbstractBaseUser) -> Any:
    # Permissions may have changed since the request began, and a user object remembers them.
    return get_user_model()._default_manager.get(pk=by.pk)  # noqa: SLF001 - Django's public name


def _check_permission(person: Any, permission: str, record: Model | None) -> None:
    if not selectors.holds(person, permission, record):
        of = f" for {record}" if record else ""
        raise exceptions.RequestRefused(
            ErrorCode.FORBIDDEN, f"Deciding this needs the permission {permission!r}{of}."
        )
