"""Agents and tools in the admin: what people make, and switch off."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin import widgets
from django.contrib.postgres.fields import ArrayField
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from pydantic import ValidationError

from mandate import checks, models
from mandate.admin import confirming, history
from mandate.selectors import drafts
from mandate.services import agents
from mandate.tools import registry
from shared_schemas.tools import Limits

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[models.Agent]
    _SwitchForm = forms.ModelForm[models.ToolSwitch]
else:
    _ModelForm = _SwitchForm = forms.ModelForm


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


class _Pausable(history.ModelAdmin):
    """What is paused, and let work again, by actions alone."""

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[Any, ...]:
        # A form that was opened before somebody paused it would take that back: only the actions do.
        return (*super().get_readonly_fields(request, obj), *(("is_paused",) if obj else ()))


@admin.register(models.Agent)
class AgentAdmin(_Pausable):
    form = AgentForm
    formfield_overrides = {ArrayField: {"widget": widgets.AdminTextareaWidget(attrs={"rows": 3})}}
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
        if change:
            obj.save(update_fields=[*form.changed_data, "updated_at"])
            return
        obj.user = agents.account(obj.slug)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Agents are paused: their runs and records keep referring to them."""
        return False

    @admin.action(description="Pause: start no run, allow no tool call", permissions=["change"])
    @confirming.asked_again("Their runs cannot call a tool from the next call on, and nobody can start one.")
    def pause(self, request: HttpRequest, chosen: QuerySet[models.Agent]) -> None:
        self._set_paused(request, chosen, paused=True)

    @admin.action(description="Let work again", permissions=["change"])
    @confirming.asked_again("Their runs may call tools again, and people may start new ones.")
    def let_work(self, request: HttpRequest, chosen: QuerySet[models.Agent]) -> None:
        self._set_paused(request, chosen, paused=False)

    def _set_paused(self, request: HttpRequest, chosen: QuerySet[models.Agent], *, paused: bool) -> None:
        named = list(chosen)
        agents.set_paused(named, paused=paused)
        done = "paused" if paused else "let work again"
        for agent in named:
            self.log_change(request, agent, f"{done.capitalize()}.")
        confirming.tell(self, request, len(named), done)


class ToolSwitchForm(_SwitchForm):
    """Offers the tools that there are."""

    def clean_tool(self) -> str:
        tool: str = self.cleaned_data["tool"]
        if tool not in registry.declared():
            raise forms.ValidationError(f"No app declares the tool {tool!r}.")
        return tool


@admin.register(models.ToolSwitch)
class ToolSwitchAdmin(_Pausable):
    form = ToolSwitchForm
    list_display = ("tool", "is_paused", "reason", "changed_by", "changed_at")
    list_filter = ("is_paused",)
    list_select_related = ("changed_by",)
    search_fields = ("tool", "reason")
    readonly_fields = ("changed_by", "changed_at")
    actions = ("pause", "let_work")

    def save_model(self, request: HttpRequest, obj: models.ToolSwitch, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        obj.changed_by_id = request.user.pk
        if change:
            obj.save(update_fields=[*form.changed_data, "changed_by", "changed_at"])
            return
        super().save_model(request, obj, form, change)

    @admin.action(description="Pause: no agent may call it", permissions=["change"])
    @confirming.asked_again("No run of any agent can call them from the next call on.")
    def pause(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch]) -> None:
        self._set(request, chosen, is_paused=True)

    @admin.action(description="Let work again", permissions=["change"])
    @confirming.asked_again("Every run that has them in its mandate may call them again.")
    def let_work(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch]) -> None:
        self._set(request, chosen, is_paused=False)

    def _set(self, request: HttpRequest, chosen: QuerySet[models.ToolSwitch], *, is_paused: bool) -> None:
        count = chosen.update(is_paused=is_paused, changed_by=request.user.pk, changed_at=timezone.now())
        confirming.tell(self, request, count, "paused" if is_paused else "let work again")
