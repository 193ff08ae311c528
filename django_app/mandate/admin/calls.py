"""Tool calls in the admin, with what they touched, asked and answered."""

import functools

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from mandate import models
from mandate.admin import confirming, history, runs
from mandate.selectors import changes
from mandate.services import undo
from shared_schemas import json_values


@admin.register(models.ToolResult)
class ToolResultAdmin(history.History):
    list_display = ("tool_call", "size")
    list_select_related = ("tool_call",)
    search_fields = ("tool_call__id", "tool_call__run__id")


class ToolMessageInline(runs.OutboxMessageInline):
    fk_name = "tool_call"


class ToolCallUndoInline(history.Inline):
    model = models.ToolCallUndo


@admin.register(models.ToolCall)
class ToolCallAdmin(history.History):
    inlines = (ToolMessageInline, ToolCallUndoInline)
    actions = ("undo",)
    list_display = ("created_at", "tool", "status", "run", "agent_user", "acting_for", "replay_count")
    list_filter = ("status", "tool", "created_at")
    list_select_related = ("run__agent", "agent_user", "acting_for")
    search_fields = ("id", "key", "tool", "tool_call_id", "run__id", "acting_for__username")
    date_hierarchy = "created_at"

    def has_undo_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(undo.PERMISSION)

    @admin.action(description="Undo what the calls did", permissions=["undo"])
    @confirming.asked_again("What they did is taken back, the latest first. It cannot be done again.")
    def undo(self, request: HttpRequest, chosen: QuerySet[models.ToolCall]) -> None:
        # The latest first: an earlier call may be what a later one stands on.
        keys = chosen.order_by("-created_at").values_list("pk", flat=True)
        act = functools.partial(undo.undo, by=confirming.person(request))
        confirming.do_each(self, request, keys, act, done="undone")


@admin.register(models.ToolCallLink)
class ToolCallLinkAdmin(history.History):
    list_display = ("tool_call", "content_type", "object_id")
    list_filter = ("content_type",)
    list_select_related = ("tool_call", "content_type")
    search_fields = ("object_id", "tool_call__id", "tool_call__run__id")


@admin.register(models.Approval)
class ApprovalAdmin(history.History):
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


@admin.register(models.DraftReview)
class DraftReviewAdmin(history.History):
    list_display = ("created_at", "record", "agent", "model", "status", "similarity", "reviewed_by")
    list_filter = ("status", "agent", ("model", history.ValuesFilter), "created_at")
    list_select_related = ("agent", "content_type", "reviewed_by")
    search_fields = ("object_id", "comment", "reviewed_by__username")

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.DraftReview]:
        return super().get_queryset(request).prefetch_related("record")
