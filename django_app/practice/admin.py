"""The course as its editors see it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.http import HttpRequest

from mandate.models import AiStatus
from mandate.services import drafts
from practice import models, services


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
        if change:
            drafts.keep_text(obj, by=_person(request))
        super().save_model(request, obj, form, change)

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
