"""The catalogue of models in the admin."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from mandate import models

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


@admin.register(models.CatalogueModel)
class CatalogueModelAdmin(_ModelAdmin):
    """One row per model; it stands before the settings' entry of the same name."""

    list_display = ("name", "provider", "input_price", "output_price", "base_url", "fallback", "enabled")
    list_filter = ("provider", "enabled")
    search_fields = ("name", "base_url")
