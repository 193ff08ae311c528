"""Everything in Django's admin. History can be read there and not changed."""

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from pydantic import ValidationError

from mandate import catalogue_admin, checks, exceptions, models  # noqa: F401 - registered with these
from mandate.selectors import changes, drafts
from mandate.services import agents, deliveries, limits, runs, undo
from mandate.tools import registry
from shared_schemas import json_values
from shared_schemas.tools import Limits

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
    _ModelForm = forms.ModelForm[models.Agent]
    _SwitchForm = forms.ModelForm[models.ToolSwitch]
else:
    _ModelAdmin, _TabularInline, _ModelForm = admin.ModelAdmin, admin.TabularInline, forms.ModelForm
    _SwitchForm = forms.ModelForm


class History:
    """Rows that are written by services and never by hand."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


def _pretty(value: Any) -> str:
    text = "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
    return format_html("<pre>{}</pre>", text)


def _person(request: HttpRequest) -> AbstractUser:
    assert isinstance(request.user, AbstractUser), "the admin lets nobody unknown in"
    return request.user


class AgentForm(_ModelForm):
    """Checks what a run would stumble over."""

    def clean_tools(self) -> list[str]:
        tools: list[str] = self.cleaned_data["tools"] or []
        if unknown := sorted(set(tools) - set(registry.declared())):
            raise forms.ValidationError(f"No app declares the tools {', '.join(unknown)}.")
        return tools

    def clean_start_permission(self) -> str:
        needed: str = self.cleaned_data["start_permission"]
        if needed and needed not in checks.known_permissions():
            raise forms.ValidationError(f"No model defines the permission {needed!r}.")
        return needed

    def clean_limits(self) -> dict[str, Any]:
        given = self.cleaned_data["limits"] or {}
        try:
            limits = Limits.model_validate(given)
        except ValidationError as error:
            raise forms.ValidationError(str(error)) from None
        if unknown := sorted(set(given) - set(Limits.model_fields)):
            raise forms.ValidationError(f"There are no limits named {', '.join(unknown)}.")
        return limits.model_dump(mode="json", exclude_none=True)


@admin.register(models.Agent)
class AgentAdmin(_ModelAdmin):
    form = AgentForm
    list_display = ("name", "slug", "graph", "default_model", "user", "is_paused")
    list_filter = ("is_paused", "graph")
    list_select_related = ("user",)
    search_fields = ("name", "slug", "description")
    readonly_fields = ("user", "quality", "created_at", "updated_at")
    actions = ("pause", "let_work")

    @admin.display(description="What people made of its drafts")
    def quality(self, agent: models.Agent) -> str:
        if agent.pk is None:
            return ""
        lines = [
            f"{one.model or 'unknown model'}: {one.approved} of {one.reviews} approved, {one.unchanged} unchanged, "
            f"similarity {one.similarity if one.similarity is not None else '-'}"
            for one in drafts.figures(agent)
        ]
        return "; ".join(lines) or "No draft has been reviewed."

    def save_model(self, request: HttpRequest, obj: models.Agent, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        if not change:
            obj.user = agents.account(obj.slug)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Agents are paused: their runs and records keep referring to them."""
        return False

    @admin.action(description="Pause: start no run, allow no tool call", permissions=["change"])
    def pause(self, request: HttpRequest, chosen: QuerySet[models.Agent]) -> None:
        agents.set_paused(list(chosen), paused=True)
        self.message_user(request, f"{len(chosen)} agents are paused.")

    @admin.action(description="Let work again", permissions=["change"])
    def let_work(self, request: HttpRequest, chosen: QuerySet[models.Agent]) -> None:
        agents.set_paused(list(chosen), paused=False)
        self.message_user(request, f"{len(chosen)} agents may work.")


class ToolCallInline(History, _TabularInline):
    model = models.ToolCall
    fields = ("created_at", "tool", "status", "arguments", "response", "replay_count")
    readonly_fields = fields
    extra = 0
    show_change_link = True


class ApprovalInline(History, _TabularInline):
    model = models.Approval
    fields = ("created_at", "message", "status", "decided_by", "decided_at", "comment")
    readonly_fields = fields
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("decided_by", "tool_call")


class ModelUsageInline(History, _TabularInline):
    model = models.ModelUsage
    extra = 0


class OutboxMessageInline(History, _TabularInline):
    model = models.OutboxMessage
    fields = ("created_at", "topic", "status", "attempts", "last_error", "delivered_at")
    readonly_fields = fields
    extra = 0


@admin.register(models.Run)
class RunAdmin(History, _ModelAdmin):
    list_display = (
        "id",
        "agent",
        "started_by",
        "status",
        "error_code",
        "model",
        "cost",
        "created_at",
        "ended_at",
    )
    list_filter = ("status", "error_code", "agent", "model", "created_at")
    list_select_related = ("agent", "started_by")
    search_fields = ("id", "thread_id", "agent_run_id", "agent__slug", "started_by__username", "error_code")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = (ToolCallInline, ApprovalInline, ModelUsageInline, OutboxMessageInline)
    actions = ("cancel", "resume", "raise_limits")
    exclude = ("result", "final_state")
    readonly_fields = ("answer", "state")

    @admin.display(description="result")
    def answer(self, run: models.Run) -> str:
        return _pretty(run.result)

    @admin.display(description="final state")
    def state(self, run: models.Run) -> str:
        return _pretty(run.final_state)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may cancel and resume, though nobody edits a run."""
        return request.user.has_perm("mandate.change_run")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, functools.partial(runs.cancel, by=_person(request)), "cancelled")

    @admin.action(description="Resume from where it failed", permissions=["operate"])
    def resume(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, functools.partial(runs.resume, by=_person(request)), "resumed")

    @admin.action(description="Raise the limits to the agent's", permissions=["operate"])
    def raise_limits(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        act = functools.partial(limits.raise_to_agents, by=_person(request))
        self._do(request, chosen, act, "may use all that their agent may")

    def _do(
        self, request: HttpRequest, chosen: QuerySet[models.Run], act: Callable[[Any], Any], done: str
    ) -> None:
        succeeded = 0
        for run_id in chosen.values_list("pk", flat=True):
            try:
                act(run_id)
            except exceptions.RequestRefused as refusal:
                self.message_user(request, f"{run_id}: {refusal.detail}", messages.WARNING)
            else:
                succeeded += 1
        self.message_user(request, f"{succeeded} runs {done}.")


class ToolSwitchForm(_SwitchForm):
    """Offers the tools that there are."""

    def clean_tool(self) -> str:
        tool: str = self.cleaned_data["tool"]
        if tool not in registry.declared():
            raise forms.ValidationError(f"No app declares the tool {tool!r}.")
        return tool


@admin.register(models.ToolSwitch)
class ToolSwitchAdmin(_ModelAdmin):
    form = ToolSwitchForm
    list_display = ("tool", "is_paused", "reason", "changed_by", "changed_at")
    list_filter = ("is_paused",)
    list_select_related = ("changed_by",)
    search_fields = ("tool", "reason")
    readonly_fields = ("changed_by", "changed_at")
    actions = ("pause", "let_work")

    def save_model(self, request: HttpRequest, obj: models.ToolSwitch, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        obj.changed_by_id = request.user.pk
        super().save_model(request, obj, form, change)

    @admin.action(description="Pause: no agent may call it", permissions=["change"])
    def pause(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch]) -> None:
        self._set(request, chosen, is_paused=True)

    @admin.action(description="Let work again", permissions=["change"])
    def let_work(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch]) -> None:
        self._set(request, chosen, is_paused=False)

    def _set(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch], *, is_paused: bool) -> None:
        count = chosen.update(is_paused=is_paused, changed_by=request.user.pk, changed_at=timezone.now())
        self.message_user(request, f"{count} tools {'are paused' if is_paused else 'may be called'}.")


@admin.register(models.ToolResult)
class ToolResultAdmin(History, _ModelAdmin):
    list_display = ("tool_call", "size")
    list_select_related = ("tool_call",)
    search_fields = ("tool_call__id", "tool_call__run__id")
    show_full_result_count = False


class ToolMessageInline(OutboxMessageInline):
    fk_name = "tool_call"


class ToolCallUndoInline(History, _TabularInline):
    model = models.ToolCallUndo
    extra = 0


@admin.register(models.ToolCall)
class ToolCallAdmin(History, _ModelAdmin):
    inlines = (ToolMessageInline, ToolCallUndoInline)
    actions = ("undo",)
    list_display = ("created_at", "tool", "status", "run", "agent_user", "acting_for", "replay_count")
    list_filter = ("status", "tool", "created_at")
    list_select_related = ("run__agent", "agent_user", "acting_for")
    search_fields = ("id", "key", "tool", "tool_call_id", "run__id", "acting_for__username")
    date_hierarchy = "created_at"
    show_full_result_count = False

    def has_undo_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(undo.PERMISSION)

    @admin.action(description="Undo what the calls did", permissions=["undo"])
    def undo(self, request: HttpRequest, chosen: QuerySet[models.ToolCall]) -> None:
        undone = 0
        # The latest first: an earlier call may be what a later one stands on.
        for call_id in chosen.order_by("-created_at").values_list("pk", flat=True):
            try:
                undo.undo(call_id, by=_person(request))
            except exceptions.MandateError as refusal:
                self.message_user(request, f"{call_id}: {refusal.detail}", messages.WARNING)
            else:
                undone += 1
        self.message_user(request, f"{undone} calls are undone.")


@admin.register(models.ToolCallLink)
class ToolCallLinkAdmin(History, _ModelAdmin):
    list_display = ("tool_call", "content_type", "object_id")
    list_filter = ("content_type",)
    list_select_related = ("tool_call", "content_type")
    search_fields = ("object_id", "tool_call__id", "tool_call__run__id")
    show_full_result_count = False


@admin.register(models.ToolSession)
class ToolSessionAdmin(History, _ModelAdmin):
    list_display = ("created_at", "run", "epoch", "expires_at", "revoked_at")
    list_select_related = ("run__agent",)
    search_fields = ("run__id",)
    exclude = ("token_hash",)
    show_full_result_count = False


@admin.register(models.Approval)
class ApprovalAdmin(History, _ModelAdmin):
    list_display = ("created_at", "tool", "status", "run", "decided_by", "expires_at", "warned_at")
    list_filter = ("status", "tool_call__tool", "created_at")
    readonly_fields = ("changes",)
    list_select_related = ("tool_call", "run__agent", "decided_by")
    search_fields = ("id", "message", "comment", "run__id", "decided_by__username")
    date_hierarchy = "created_at"

    @admin.display(description="what the person changed")
    def changes(self, approval: models.Approval) -> str:
        if approval.edited_arguments is None:
            return ""
        return "\n".join(
            f"{change.pointer}: {json_values.text(change.before)} → {json_values.text(change.after)}"
            for change in changes.between(approval.arguments, approval.edited_arguments)
        )

    @admin.display(ordering="tool_call__tool")
    def tool(self, approval: models.Approval) -> str:
        return approval.tool_call.tool


@admin.register(models.OutboxMessage)
class OutboxMessageAdmin(History, _ModelAdmin):
    list_display = ("created_at", "topic", "key", "status", "attempts", "next_attempt_at", "delivered_at")
    list_filter = ("status", "topic", "created_at")
    list_select_related = ("run__agent",)
    search_fields = ("key", "run__id", "last_error")
    show_full_result_count = False
    actions = ("redeliver",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may have messages delivered again, though nobody edits one."""
        return request.user.has_perm(deliveries.PERMISSION)

    @admin.action(description="Deliver again, now", permissions=["operate"])
    def redeliver(self, request: HttpRequest, chosen: QuerySet[models.OutboxMessage]) -> None:
        again = 0
        for message_id in chosen.values_list("pk", flat=True):
            try:
                deliveries.again(message_id, by=_person(request))
            except exceptions.RequestRefused as refusal:
                self.message_user(request, refusal.detail, messages.WARNING)
            else:
                again += 1
        self.message_user(request, f"{again} messages will be delivered again.")


@admin.register(models.WebhookReceipt)
class WebhookReceiptAdmin(History, _ModelAdmin):
    list_display = ("received_at", "type", "webhook_id", "run")
    list_filter = ("type", "received_at")
    list_select_related = ("run__agent",)
    search_fields = ("webhook_id", "run__id")
    show_full_result_count = False


@admin.register(models.RunNote)
class RunNoteAdmin(History, _ModelAdmin):
    list_display = ("at", "kind", "run", "by")
    list_filter = ("kind", "at")
    list_select_related = ("run__agent", "by")
    search_fields = ("run__id", "by__username")
    show_full_result_count = False


@admin.register(models.DraftReview)
class DraftReviewAdmin(History, _ModelAdmin):
    list_display = ("created_at", "record", "agent", "model", "status", "similarity", "reviewed_by")
    list_filter = ("status", "agent", "model", "created_at")
    list_select_related = ("agent", "content_type", "reviewed_by")
    search_fields = ("object_id", "comment", "reviewed_by__username")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.DraftReview]:
        return super().get_queryset(request).prefetch_related("record")


@admin.register(models.ModelUsage)
class ModelUsageAdmin(History, _ModelAdmin):
    list_display = ("run", "segment", "model", "calls", "input_tokens", "output_tokens")
    list_filter = ("model",)
    list_select_related = ("run__agent",)
    search_fields = ("run__id", "model")
    show_full_result_count = False


@admin.register(models.Checkpoint)
class CheckpointAdmin(History, _ModelAdmin):
    list_display = ("created_at", "thread_id", "namespace", "step", "source", "checkpoint_id")
    list_filter = ("created_at",)
    search_fields = ("=thread_id", "checkpoint_id", "metadata__run_id")
    show_full_result_count = False

    @admin.display(description="superstep")
    def step(self, checkpoint: models.Checkpoint) -> int | None:
        step: int | None = checkpoint.metadata.get("step")
        return step

    @admin.display(description="made by")
    def source(self, checkpoint: models.Checkpoint) -> str:
        return str(checkpoint.metadata.get("source", ""))


@admin.register(models.Comparison)
class ComparisonAdmin(History, _ModelAdmin):
    list_display = ("name", "started_by", "created_at")
    list_select_related = ("started_by",)
    search_fields = ("name", "started_by__username")
