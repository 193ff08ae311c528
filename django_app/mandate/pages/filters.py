"""What lists and figures of runs may be narrowed by."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import django_filters
from django import forms
from django.http import HttpRequest
from django.utils import timezone

from mandate import models
from mandate.selectors import runs as selectors
from shared_schemas.runs import RunStatus

_DAYS = 30

STATUSES = [(status.value, status.value.replace("_", " ")) for status in RunStatus]


class Runs(django_filters.FilterSet):
    """By status, agent, model, person and time."""

    status = django_filters.ChoiceFilter(choices=STATUSES, empty_label="any status")
    agent = django_filters.ModelChoiceFilter(queryset=models.Agent.objects.all(), empty_label="any agent")
    model = django_filters.CharFilter(lookup_expr="icontains", label="Model")
    started_by = django_filters.CharFilter(
        field_name="started_by__username", lookup_expr="iexact", label="Person"
    )
    since = django_filters.DateFilter(
        field_name="created_at",
        lookup_expr="date__gte",
        label="Since",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = django_filters.DateFilter(
        field_name="created_at",
        lookup_expr="date__lte",
        label="Until",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    of_model = django_filters.CharFilter(field_name="model", widget=forms.HiddenInput)
    """Exactly this one: how a figure leads to the runs behind it."""

    prompt_version = django_filters.CharFilter(widget=forms.HiddenInput)
    comparison = django_filters.NumberFilter(field_name="comparison_id", widget=forms.HiddenInput)

    class Meta:
        model = models.Run
        fields = (
            "status",
            "agent",
            "model",
            "started_by",
            "since",
            "until",
            "of_model",
            "prompt_version",
            "comparison",
        )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, request=request, **kwargs)
        if not (request.user.is_staff and request.user.has_perm(selectors.SEES_ALL)):
            del self.filters["started_by"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Of which runs figures are wanted."""

    agent: str = ""
    since: date | None = None


class Period(forms.Form):
    """Of one agent, or all; of the last days, or ever."""

    agent = forms.ModelChoiceField(
        models.Agent.objects.all(), to_field_name="slug", required=False, empty_label="any agent"
    )
    days = forms.ChoiceField(
        label="Time",
        choices=[
            (str(_DAYS), f"the last {_DAYS} days"),
            ("7", "the last 7 days"),
            ("1", "today"),
            ("0", "ever"),
        ],
        required=False,
    )

    def asked(self) -> Asked:
        """Return what was chosen; what cannot be read is not heeded."""
        self.is_valid()
        chosen: models.Agent | None = self.cleaned_data.get("agent")
        days = int(self.cleaned_data.get("days") or _DAYS)
        today = timezone.localdate()
        return Asked(
            agent=chosen.slug if chosen else "",
            since=today - timedelta(days=days - 1) if days else None,
        )
