"""The catalogue of models in the admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin

from mandate import models

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _ModelForm = forms.ModelForm[models.CatalogueModel]
else:
    _ModelAdmin, _ModelForm = admin.ModelAdmin, forms.ModelForm


class CatalogueModelForm(_ModelForm):
    """An address without a scheme is one of https, in every release of Django."""

    base_url = forms.URLField(required=False, assume_scheme="https")


@admin.register(models.CatalogueModel)
class CatalogueModelAdmin(_ModelAdmin):
    """One row per model; it stands before the settings' entry of the same name."""

    form = CatalogueModelForm
    list_display = ("name", "provider", "input_price", "output_price", "base_url", "fallback", "enabled")
    list_filter = ("provider", "enabled")
    search_fields = ("name", "base_url")
