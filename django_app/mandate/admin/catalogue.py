"""The catalogue of models in the admin."""

from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin

from mandate import models
from mandate.admin import history

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[models.CatalogueModel]
else:
    _ModelForm = forms.ModelForm


class CatalogueModelForm(_ModelForm):
    """An address without a scheme is one of https, in every release of Django."""

    base_url = forms.URLField(required=False, assume_scheme="https")


@admin.register(models.CatalogueModel)
class CatalogueModelAdmin(history.ModelAdmin):
    """One row per model; it stands before the settings' entry of the same name."""

    form = CatalogueModelForm
    list_display = ("name", "provider", "input_price", "output_price", "base_url", "fallback", "enabled")
    list_filter = ("provider", "enabled")
    search_fields = ("name", "base_url")
