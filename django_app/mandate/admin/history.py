"""What people read in the admin and nobody changes there."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.utils.html import format_html

if TYPE_CHECKING:
    from django.contrib.admin.filters import _ListFilterChoices

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


class _ByServicesOnly:
    """Rows that are written by services and never by hand."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class History(_ByServicesOnly, ModelAdmin):
    """Rows to find and to read; a list that is long is not counted twice."""

    show_full_result_count = False


class Inline(_ByServicesOnly, TabularInline):
    """Rows to read on the page of what they belong to."""

    extra = 0


def pretty(value: Any) -> str:
    """Return JSON that a person can read; what is in it stays text."""
    text = "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre tabindex="0">{}</pre>', text)


class ValuesFilter(admin.AllValuesFieldListFilter):
    """Values that there are; Django's own has a link without words for the empty one."""

    def choices(self, changelist: ChangeList) -> "Iterator[_ListFilterChoices]":
        for choice in super().choices(changelist):
            choice["display"] = choice["display"] or "none"
            yield choice
