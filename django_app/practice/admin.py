"""The course as its editors see it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.http import HttpRequest

from mandate.models import AiStatus
from mandate.services import drafts
from practice import chains, models, services


def _person(request: HttpRequest) -> AbstractUser:
    assert isinstance(request.user, AbstractUser), "the admin lets nobody unknown in"
    return request.user


@admin.register(models.Module)
class ModuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ("title", "language", "position", "published")
    list_filter = ("language", "published")
    search_fields = ("title", "body")
    prepopulated_fields = {"slug": ("title",)}


@admin.register(models.StudentProfile)
class StudentProfileAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ("name", "level", "goals")
    list_filter = ("level",)
    search_fields = ("name", "goals", "notes")
    prepopulated_fields = {"slug": ("name",)}


@admin.register(models.Task)
class TaskAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Publishing goes through its service, so that the rules for agents hold for people too."""

    list_display = ("title", "module", "ai_user", "ai_status", "verified", "active")
    list_filter = ("active", "verified", "ai_status", "module")
    list_select_related = ("module", "ai_user")
    search_fields = ("title", "text")
    readonly_fields = (
        "ai_user",
        "ai_status",
        "tests",
        "solution",
        "verified",
        "verdict",
        "active",
        "created_at",
        "updated_at",
    )
    actions = ("publish", "reject", "withdraw")

    def save_model(self, request: HttpRequest, obj: models.Task, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        if not change:
            super().save_model(request, obj, form, change)
            return
        drafts.keep_text(obj, by=_person(request))
        # Not the whole of it: an agent may have worked on the rest since it was read.
        obj.save(update_fields=[*form.changed_data, "updated_at"])

    @admin.action(description="Publish verified tasks", permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[models.Task]) -> None:
        verified = list(queryset.filter(verified=True, active=False))
        for task in verified:
            services.publish(task, by=_person(request))
        self.message_user(request, f"{len(verified)} published; tasks that are not verified were left.")

    @admin.action(description="Reject drafts", permissions=["publish"])
    def reject(self, request: HttpRequest, queryset: QuerySet[models.Task]) -> None:
        rejected = list(queryset.filter(ai_status=AiStatus.DRAFT))
        for task in rejected:
            services.reject(task, by=_person(request))
        self.message_user(request, f"{len(rejected)} rejected.")

    @admin.action(description="Withdraw from students", permissions=["publish"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[models.Task]) -> None:
        count = services.withdraw(queryset)
        self.message_user(request, f"{count} withdrawn.", level=messages.SUCCESS)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may run the actions above."""
        return request.user.has_perm("practice.publish_task")


class ChainStepInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs only
    model = models.ChainStep
    fields = readonly_fields = ("kind", "task", "round", "run", "status", "refused")
    extra = 0
    can_delete = False

    @admin.display()
    def status(self, step: models.ChainStep) -> str:
        """Return how the step's run stands."""
        return str(step.run.status) if step.run else "not started"

    def has_add_permission(self, *_: Any) -> bool:
        return False


@admin.register(models.Chain)
class ChainAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Chains are started on their page or over REST; here a step that was refused is started again."""

    list_display = ("module", "student", "count", "started_by", "created_at")
    list_select_related = ("module", "student", "started_by")
    readonly_fields = ("module", "student", "count", "model", "started_by", "created_at")
    inlines = (ChainStepInline,)
    actions = ("go_on",)

    @admin.action(description="Start the steps that were refused", permissions=["change"])
    def go_on(self, request: HttpRequest, queryset: QuerySet[models.Chain]) -> None:
        started = sum(chains.go_on(chain) for chain in queryset)
        self.message_user(request, f"{started} started.")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - its base's
        return False
