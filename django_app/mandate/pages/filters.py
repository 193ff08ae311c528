"""What a list of runs may be narrowed by."""

from typing import Any

import django_filters
from django import forms
from django.http import HttpRequest

from mandate import models
from mandate.selectors import runs as selectors
from shared_schemas.runs import RunStatus

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

    class Meta:
        model = models.Run
        fields = ("status", "agent", "model", "started_by", "since", "until")

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, request=request, **kwargs)
        if not (request.user.is_staff and request.user.has_perm(selectors.SEES_ALL)):
            del self.filters["started_by"]
