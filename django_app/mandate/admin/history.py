"""What people read in the admin and nobody changes there."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.html import format_html

if TYPE_CHECKING:
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
    return format_html("<pre>{}</pre>", text)
