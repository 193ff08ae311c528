"""A form of a call's arguments, for a person who approves it with changes."""

from collections.abc import Mapping
from typing import Any

from django import forms

from mandate import exceptions
from mandate.pages import schema_fields

_PREFIX = "argument-"


class Edit(forms.Form):
    """A field for each argument, as it was asked for."""

    def __init__(self, data: Any, *, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.arguments = arguments
        self.required = set(schema.get("required", ()))
        self.nullable = {
            name
            for name, described in schema.get("properties", {}).items()
            if schema_fields.is_nullable(described)
        }
        made = schema_fields.of(schema, given=arguments)
        self.names = list(made)
        for field in made.values():
            # Of a text that may be empty, nothing written is a value.
            if isinstance(field, schema_fields.Text) and not field.min_length:
                field.required = False
        self.fields |= {_PREFIX + name: field for name, field in made.items()}

    def given(self) -> dict[str, Any]:
        """Return the arguments as the person left them; what is emptied and may be left out gets its default."""
        return {name: self._value(name) for name in self.names if not self._is_left_out(name)}

    def refuse(self, refusal: exceptions.MandateError) -> None:
        """Show a refusal at the arguments it names, or else above them all."""
        places = [schema_fields.place_of(place) for place in getattr(refusal, "errors", [])]
        for name, detail in places or [("", refusal.detail)]:
            self.add_error(_PREFIX + name if name in self.names else None, detail)

    def _value(self, name: str) -> Any:
        value = self.cleaned_data[_PREFIX + name]
        was_null = name in self.nullable and self.arguments.get(name) is None
        return None if value == "" and was_null else value

    def _is_left_out(self, name: str) -> bool:
        return self._value(name) is None and name not in self.nullable and name not in self.required
