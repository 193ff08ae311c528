"""Runs in the admin, and what was kept of their work."""

import functools
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from mandate import models
from mandate.admin import confirming, history
from mandate.selectors import audit
from mandate.services import limits, revocations, runs


class ToolCallInline(history.Inline):
    model = models.ToolCall
    fields = ("created_at", "tool", "status", "arguments", "response", "replay_count")
    readonly_fields = fields
    show_change_link = True


class ApprovalInline(history.Inline):
    model = models.Approval
    fields = ("created_at", "message", "status", "decided_by", "decided_at", "comment")
    readonly_fields = fields
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("decided_by", "tool_call")


class ModelUsageInline(history.Inline):
    model = models.ModelUsage


class OutboxMessageInline(history.Inline):
    model = models.OutboxMessage
    fields = ("created_at", "topic", "status", "attempts", "last_error", "delivered_at")
    readonly_fields = fields


@admin.register(models.Run)
class RunAdmin(history.History):
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
    list_filter = ("status", ("error_code", history.ValuesFilter), "agent", "model", "created_at")
    list_select_related = ("agent", "started_by")
    search_fields = ("id", "thread_id", "agent_run_id", "agent__slug", "started_by__username", "error_code")
    date_hierarchy = "created_at"
    inlines = (ToolCallInline, ApprovalInline, ModelUsageInline, OutboxMessageInline)
    actions = ("cancel", "resume", "raise_limits", "revoke", "export_audit")
    exclude = ("result", "final_state")
    readonly_fields = ("answer", "state")

    @admin.display(description="result")
    def answer(self, run: models.Run) -> str:
        return history.pretty(run.result)

    @admin.display(description="final state")
    def state(self, run: models.Run) -> str:
        return history.pretty(run.final_state)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may cancel and resume, though nobody edits a run."""
        return request.user.has_perm("mandate.change_run")

    @admin.action(description="Cancel", permissions=["operate"])
    @confirming.asked_again(
        "They end for good; what they have done stays. Questions to people are withdrawn."
    )
    def cancel(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, runs.cancel, "cancelled")

    @admin.action(description="Resume from where it failed", permissions=["operate"])
    @confirming.asked_again("They go on from their last checkpoint; finished calls are not done again.")
    def resume(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, runs.resume, "resumed")

    @admin.action(description="Raise the limits to the agent's", permissions=["operate"])
    @confirming.asked_again("They may use all that their agent may use now.")
    def raise_limits(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, limits.raise_to_agents, "given the limits of the agent")

    @admin.action(description="Revoke the mandate: no tool may be called any more", permissions=["operate"])
    @confirming.asked_again(
        "No tool can be called in their names, and nothing that waits can be approved. It cannot be given back."
    )
    def revoke(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> None:
        self._do(request, chosen, revocations.revoke, "left without a mandate")

    @admin.action(description="Export the audit", permissions=["view"])
    def export_audit(self, request: HttpRequest, chosen: QuerySet[models.Run]) -> HttpResponse | None:
        if confirming.too_many(self, request, chosen):
            return None
        stories = [audit.story(run).model_dump_json() for run in audit.detailed(chosen)]
        return HttpResponse(
            "".join(f"{story}\n" for story in stories),
            content_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
        )

    def _do(self, request: HttpRequest, chosen: QuerySet[models.Run], act: Any, done: str) -> None:
        act = functools.partial(act, by=confirming.person(request))
        confirming.do_each(self, request, chosen.values_list("pk", flat=True), act, done=done)


@admin.register(models.ToolSession)
class ToolSessionAdmin(history.History):
    list_display = ("created_at", "run", "epoch", "expires_at", "revoked_at")
    list_select_related = ("run__agent",)
    search_fields = ("run__id",)
    exclude = ("token_hash",)


@admin.register(models.RunNote)
class RunNoteAdmin(history.History):
    list_display = ("at", "kind", "run", "by")
    list_filter = ("kind", "at")
    list_select_related = ("run__agent", "by")
    search_fields = ("run__id", "by__username")


@admin.register(models.ModelUsage)
class ModelUsageAdmin(history.History):
    list_display = ("run", "segment", "model", "calls", "input_tokens", "output_tokens")
    list_filter = ("model",)
    list_select_related = ("run__agent",)
    search_fields = ("run__id", "model")


@admin.register(models.Checkpoint)
class CheckpointAdmin(history.History):
    list_display = ("created_at", "thread_id", "namespace", "step", "source", "checkpoint_id")
    list_filter = ("created_at",)
    search_fields = ("=thread_id", "checkpoint_id", "metadata__run_id")

    @admin.display(description="superstep")
    def step(self, checkpoint: models.Checkpoint) -> int | None:
        step: int | None = checkpoint.metadata.get("step")
        return step

    @admin.display(description="made by")
    def source(self, checkpoint: models.Checkpoint) -> str:
        return str(checkpoint.metadata.get("source", ""))


@admin.register(models.Comparison)
class ComparisonAdmin(history.History):
    list_display = ("name", "started_by", "created_at")
    list_select_related = ("started_by",)
    search_fields = ("name", "started_by__username")
