"""A form of a draft: its model's own fields, for the text that is reviewed."""

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from django import forms
from django.db import models as django_models

from mandate import exceptions
from mandate.models import AgentOwned
from mandate.pages import schema_fields
from mandate.services import drafts

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[AgentOwned]
else:
    _ModelForm = forms.ModelForm

_LONG = 120
"""Texts that may be longer are written in several lines."""


class Draft(_ModelForm):
    """The fields whose text is reviewed."""

    def changes(self) -> dict[str, Any]:
        """Return what the person changed, by field."""
        return {name: self.cleaned_data[name] for name in self.changed_data}

    def refuse(self, refusal: exceptions.MandateError) -> None:
        """Show a refusal at the fields it names, and what it says of the whole above them."""
        self.add_error(None, refusal.detail)
        for place in getattr(refusal, "errors", []):
            name = place.pointer.strip("/")
            self.add_error(name if name in self.fields else None, place.detail)


def of(record: AgentOwned, data: Any = None) -> Draft:
    """Return the form of a record, which is left as it is."""
    return _form_of(type(record))(data, instance=copy.copy(record))


def label(model: type[AgentOwned], name: str) -> str:
    """Return how people call a field."""
    return str(_form_of(model).base_fields[name].label)


@cache
def _form_of(model: type[AgentOwned]) -> type[Draft]:
    made: Any = forms.modelform_factory(
        model, form=Draft, fields=drafts.fields_of(model), formfield_callback=_field
    )
    form: type[Draft] = made
    return form


def _field(field: "django_models.Field[Any, Any]", **options: Any) -> forms.Field | None:
    texts = (django_models.CharField, django_models.TextField)
    if not isinstance(field, texts) or field.choices:
        return field.formfield(**options)
    widget: forms.Widget = forms.TextInput()
    if isinstance(field, django_models.TextField) or (field.max_length or 0) > _LONG:
        widget = forms.Textarea(attrs={"rows": 12})
    return field.formfield(**options | {"form_class": schema_fields.Text, "strip": False, "widget": widget})
