"""What lists of runs, approvals and drafts, and figures, may be narrowed by."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import django_filters
from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from mandate import models
from mandate.models import AgentOwned, AiStatus
from mandate.selectors import days
from mandate.selectors import runs as selectors
from mandate.services import drafts
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
        method="from_day", label="Since", widget=forms.DateInput(attrs={"type": "date"})
    )
    until = django_filters.DateFilter(
        method="to_day", label="Until", widget=forms.DateInput(attrs={"type": "date"})
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
        if not selectors.sees_all(request.user):
            del self.filters["started_by"]

    # Moments, not the day of a moment: for them there is an index.
    def from_day(self, found: QuerySet[models.Run], _name: str, day: date) -> QuerySet[models.Run]:
        return found.filter(created_at__gte=days.start(day))

    def to_day(self, found: QuerySet[models.Run], _name: str, day: date) -> QuerySet[models.Run]:
        return found.filter(created_at__lte=days.end(day))


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


class Approvals(django_filters.FilterSet):
    """By agent, tool, person and words; tabs tell the status."""

    agent = django_filters.ModelChoiceFilter(
        field_name="run__agent", queryset=models.Agent.objects.all(), empty_label="any agent", label="Agent"
    )
    tool = django_filters.CharFilter(field_name="tool_call__tool", lookup_expr="icontains", label="Tool")
    person = django_filters.CharFilter(
        field_name="run__started_by__username", lookup_expr="iexact", label="Asked for"
    )
    words = django_filters.CharFilter(field_name="message", lookup_expr="icontains", label="Words")

    class Meta:
        model = models.Approval
        fields = ("agent", "tool", "person", "words")


class Drafts(django_filters.FilterSet):
    """By status, agent, person, check and words; of one model, which its queryset tells."""

    status = django_filters.ChoiceFilter(
        field_name="ai_status", choices=AiStatus.choices, empty_label="any status", label="Status"
    )
    agent = django_filters.ModelChoiceFilter(
        field_name="ai_user__mandate_agent",
        queryset=models.Agent.objects.all(),
        empty_label="any agent",
        label="Agent",
    )
    person = django_filters.CharFilter(method="of_person", label="Made for")
    checked = django_filters.ChoiceFilter(
        method="of_check", choices=[("yes", "passed"), ("no", "not passed")], empty_label="any", label="Check"
    )
    words = django_filters.CharFilter(method="of_words", label="Words")

    def __init__(self, data: Any, *, queryset: QuerySet[AgentOwned], shows_all: bool) -> None:
        super().__init__(data, queryset=queryset)
        if not shows_all:
            del self.filters["person"]
        if queryset.model.verified_field is None:
            del self.filters["checked"]

    def of_person(self, found: QuerySet[AgentOwned], _name: str, value: str) -> QuerySet[AgentOwned]:
        people = get_user_model().objects.filter(username__iexact=value)
        return found.filter(Q(made_for__in=people.values("pk")))

    def of_check(self, found: QuerySet[AgentOwned], _name: str, value: str) -> QuerySet[AgentOwned]:
        field = found.model.verified_field
        assert field is not None, "the filter is there only where the model has such a field"
        return found.filter(**{field: value == "yes"})

    def of_words(self, found: QuerySet[AgentOwned], _name: str, value: str) -> QuerySet[AgentOwned]:
        matches = Q()
        for name in drafts.fields_of(found.model):
            matches |= Q(**{f"{name}__icontains": value})
        return found.filter(matches)
