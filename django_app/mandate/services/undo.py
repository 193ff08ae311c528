"""Takes back what a tool call did, by the function that its tool declares."""

import json
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from pydantic import ValidationError

from mandate import exceptions, models
from mandate.selectors import approvals
from mandate.services import effects, outbox, runs
from mandate.tools import context as tool_context
from mandate.tools import declaration, registry
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import ToolCallAnswer

PERMISSION = "mandate.undo_toolcall"


def undo(call_id: uuid.UUID, *, by: AbstractBaseUser, comment: str = "") -> models.ToolCallUndo:
    """Undo a call once: the effect goes and who took it back is kept, in one transaction.

    Asked again, by whomever, it changes nothing and returns the first. The run is not told, and the call's
    stored answer stays: cancel a run first that still works with what is taken away.

    Raises:
        RequestRefused: NOT_FOUND; FORBIDDEN; NOT_UNDOABLE, there is no effect or no function to undo it;
            TOOL_FAILED, the function raised.
        ToolRejected: a business rule refuses it.
    """
    call = _read(call_id)
    _check_person(call, by)
    tool, function = _undoable(call)
    arguments, answer = _of(call, tool)
    context = _context(call, tool, by)
    with effects.guarded(tool, context), transaction.atomic():
        runs.locked(call.run_id)
        models.ToolCall.objects.select_for_update(no_key=True).only("pk").get(pk=call.pk)
        if earlier := models.ToolCallUndo.objects.filter(tool_call=call).first():
            return earlier
        function(context, arguments, answer)
        outbox.send(call, context, step="undo:")
        return models.ToolCallUndo.objects.create(tool_call=call, undone_by_id=by.pk, comment=comment)


def may_be_undone(call: models.ToolCall) -> bool:
    """Tell whether there is an effect and a function that takes it back."""
    tool = registry.declared().get(call.tool)
    return call.status == models.ToolCall.Status.SUCCEEDED and tool is not None and tool.undo is not None


def _read(call_id: uuid.UUID) -> models.ToolCall:
    related = ("run__agent__user", "run__started_by", "approval")
    call = models.ToolCall.objects.select_related(*related).filter(pk=call_id).first()
    if call is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"There is no tool call {call_id}.")
    return call


def _check_person(call: models.ToolCall, by: AbstractBaseUser) -> None:
    # Read anew: permissions may have changed since the request began, and a user object remembers them.
    person = get_user_model()._default_manager.get(pk=by.pk)  # noqa: SLF001 - Django's public name
    if models.Agent.objects.filter(user=person).exists() or not person.has_perm(PERMISSION):
        raise _forbidden(PERMISSION)
    approval = getattr(call, "approval", None)
    if approval and not approvals.holds(person, approval.permission, approval.record):
        raise _forbidden(approval.permission)


def _forbidden(permission: str) -> exceptions.RequestRefused:
    return exceptions.RequestRefused(
        ErrorCode.FORBIDDEN, f"Undoing this is for people with the permission {permission!r}."
    )


def _undoable(call: models.ToolCall) -> tuple[declaration.Tool, declaration.Undo]:
    tool = registry.declared().get(call.tool)
    if call.status != models.ToolCall.Status.SUCCEEDED:
        raise _not_undoable(f"The call is {call.status!r}; it has no effect of its own.")
    if tool is None or tool.undo is None:
        raise _not_undoable(f"The tool {call.tool!r} does not say how it is undone.")
    return tool, tool.undo


def _of(call: models.ToolCall, tool: declaration.Tool) -> tuple[Any, Any]:
    """Return the arguments that ran and the answer, as the tool's own types."""
    approval = getattr(call, "approval", None)
    edited = approval.edited_arguments if approval else None
    try:
        arguments = effects.validate(tool, call.arguments if edited is None else edited)
        return arguments, tool.result.model_validate(_result(call))
    except (exceptions.RequestRefused, ValidationError):
        raise _not_undoable(f"The tool {tool.name!r} has changed since the call.") from None


def _result(call: models.ToolCall) -> Any:
    whole = models.ToolResult.objects.filter(tool_call=call).first()
    return json.loads(whole.json) if whole else ToolCallAnswer.model_validate(call.response).result


def _context(call: models.ToolCall, tool: declaration.Tool, by: AbstractBaseUser) -> tool_context.Context:
    return tool_context.Context(
        run_id=call.run_id,
        agent_user=call.run.agent.user,
        acting_for=call.run.started_by,
        undone_by=by,
        key=call.key,
        records=tool.records,
    )


def _not_undoable(detail: str) -> exceptions.RequestRefused:
    return exceptions.RequestRefused(ErrorCode.NOT_UNDOABLE, detail)
