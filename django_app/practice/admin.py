"""The course as its editors see it."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from practice import models, services


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
        "tests",
        "solution",
        "verified",
        "verdict",
        "active",
        "created_at",
        "updated_at",
    )
    actions = ("publish", "withdraw")

    @admin.action(description="Publish verified tasks", permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[models.Task]) -> None:
        verified = list(queryset.filter(verified=True, active=False))
        for task in verified:
            services.publish(task)
        self.message_user(request, f"{len(verified)} published; tasks that are not verified were left.")

    @admin.action(description="Withdraw from students", permissions=["publish"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[models.Task]) -> None:
        count = services.withdraw(queryset)
        self.message_user(request, f"{count} withdrawn.", level=messages.SUCCESS)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may run the actions above."""
        return request.user.has_perm("practice.publish_task")
