"""Everything in Django's admin. History can be read there and not changed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from pydantic import ValidationError

from mandate import exceptions, models
from mandate.services import agents, outbox, runs
from mandate.tools import registry
from shared_schemas.tools import Limits

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
    _ModelForm = forms.ModelForm[models.Agent]
else:
    _ModelAdmin, _TabularInline, _ModelForm = admin.ModelAdmin, admin.TabularInline, forms.ModelForm


class History:
    """Rows that are written by services and never by hand."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class AgentForm(_ModelForm):
    """Checks what a run would stumble over."""

    def clean_tools(self) -> list[str]:
        tools: list[str] = self.cleaned_data["tools"] or []
        if unknown := sorted(set(tools) - set(registry.declared())):
            raise forms.ValidationError(f"No app declares the tools {', '.join(unknown)}.")
        return tools

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
    readonly_fields = ("user", "created_at", "updated_at")
    actions = ("pause", "let_work")

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
    list_display = ("id", "agent", "started_by", "status", "model", "cost", "created_at", "ended_at")
    list_filter = ("status", "agent", "model", "created_at")
    list_select_related = ("agent", "started_by")
    search_fields = ("id", "thread_id", "agent_run_id", "agent__slug", "started_by__username", "error_code")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = (ToolCallInline, ApprovalInline, ModelUsageInline, OutboxMessageInline)
    actions = ("cancel", "resume")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may cancel and resume, though nobody edits a run."""
        return request.user.has_perm("mandate.change_run")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, runs.cancel, "cancelled")

    @admin.action(description="Resume from where it failed", permissions=["operate"])
    def resume(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, runs.resume, "resumed")

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


@admin.register(models.ToolCall)
class ToolCallAdmin(History, _ModelAdmin):
    list_display = ("created_at", "tool", "status", "run", "agent_user", "acting_for", "replay_count")
    list_filter = ("status", "tool", "created_at")
    list_select_related = ("run__agent", "agent_user", "acting_for")
    search_fields = ("id", "key", "tool", "tool_call_id", "run__id", "acting_for__username")
    date_hierarchy = "created_at"
    show_full_result_count = False


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
    list_display = ("created_at", "tool", "status", "run", "decided_by", "expires_at")
    list_filter = ("status", "tool_call__tool", "created_at")
    list_select_related = ("tool_call", "run__agent", "decided_by")
    search_fields = ("id", "message", "comment", "run__id", "decided_by__username")
    date_hierarchy = "created_at"

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
        return request.user.has_perm("mandate.change_outboxmessage")

    @admin.action(description="Deliver again, now", permissions=["operate"])
    def redeliver(self, request: HttpRequest, chosen: QuerySet[models.OutboxMessage]) -> None:
        # The run of a submission that was given up has failed; resuming it delivers the message again.
        submissions = chosen.filter(
            topic__in=[runs.SUBMIT, runs.RESUME], status=models.OutboxMessage.Status.DEAD
        )
        for message in submissions:
            self.message_user(request, f"{message}: resume its run instead.", messages.WARNING)
        others = chosen.exclude(pk__in=[message.pk for message in submissions])
        for message in others:
            outbox.redeliver(message)
        self.message_user(request, f"{len(others)} messages will be delivered again.")


@admin.register(models.WebhookReceipt)
class WebhookReceiptAdmin(History, _ModelAdmin):
    list_display = ("received_at", "type", "webhook_id", "run")
    list_filter = ("type", "received_at")
    list_select_related = ("run__agent",)
    search_fields = ("webhook_id", "run__id")
    show_full_result_count = False


@admin.register(models.ModelUsage)
class ModelUsageAdmin(History, _ModelAdmin):
    list_display = ("run", "segment", "model", "calls", "input_tokens", "output_tokens")
    list_filter = ("model",)
    list_select_related = ("run__agent",)
    search_fields = ("run__id", "model")
    show_full_result_count = False


@admin.register(models.Comparison)
class ComparisonAdmin(History, _ModelAdmin):
    list_display = ("name", "started_by", "created_at")
    list_select_related = ("started_by",)
    search_fields = ("name", "started_by__username")
