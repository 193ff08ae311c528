"""Form fields of a JSON schema: one for each property, as far as a form has one for it."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from django import forms

from mandate.pages import schema_faults
from mandate.tools import choosing
from shared_schemas.problems import FieldProblem

NOT_GIVEN = [("", "not given")]
_MOST_ROWS = 12

Offer = Callable[[str], choosing.Choices | None]
Faults = Callable[[Any], list[str]]


class Text(forms.CharField):
    """Text to the letter: what a browser does to the ends of its lines is no change."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.to_python(initial), self.to_python(data))


class Json(forms.JSONField):
    """What a form has no field for, as people can read it."""

    empty_values = [None, ""]
    """Not the empty list, nor the empty object."""

    def __init__(self, *, faults: Faults, required: bool) -> None:
        super().__init__(required=required)
        self.faults = faults

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except RecursionError:
            raise forms.ValidationError("This is nested too deeply.", code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return forms.fields.InvalidJSONInput(data)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value not in self.empty_values and (faults := self.faults(value)):
            raise forms.ValidationError(faults)

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)


def of(
    schema: Mapping[str, Any], *, offer: Offer = lambda _: None, given: Mapping[str, Any] | None = None
) -> dict[str, forms.Field]:
    """Return a field for each property, by name; they show what is `given`, or else the schema's defaults."""
    required = set(schema.get("required", ()))
    fields = {}
    for name, described in schema.get("properties", {}).items():
        resolved = _resolved(described, schema)
        needed = name in required and not is_nullable(described)
        offered = offer(name)
        if offered is None:
            offered = _listed(resolved, nullable=is_nullable(described))
        faults = functools.partial(schema_faults.of, described=described, schema=schema)
        made = _field(resolved, faults, required=needed)
        field = made if offered is None else _choice(offered, required=needed)
        field.label = _label(name, described)
        field.help_text = described.get("description", "")
        field.initial = described.get("default") if given is None else given.get(name)
        _make_room(field)
        fields[name] = field
    return fields


def is_nullable(described: Mapping[str, Any]) -> bool:
    """Tell whether a property may be null."""
    return any(kind.get("type") == "null" for kind in described.get("anyOf", ()))


def place_of(problem: FieldProblem) -> tuple[str, str]:
    """Return the property that a refusal is about, and what it says there."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in problem.pointer.split("/")[1:]]
    if steps and steps[0] in {"input", "arguments"}:
        steps.pop(0)
    inside = "".join(f"/{step}" for step in steps[1:])
    return (steps[0] if steps else ""), (f"{inside}: {problem.detail}" if inside else problem.detail)


def _resolved(described: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in described:
        return {**schema.get("$defs", {}).get(described["$ref"].rpartition("/")[2], {}), **described}
    kinds = [kind for kind in described.get("anyOf", ()) if kind.get("type") != "null"]
    return {**described, **_resolved(kinds[0], schema)} if len(kinds) == 1 else described


def _label(name: str, described: Mapping[str, Any]) -> str:
    """Return the property's title, unless it is the one that pydantic makes of its name."""
    title: str = described.get("title", "")
    made = name.replace("_", " ").title()
    return title if title and title != made else name.removesuffix("_id").replace("_", " ").capitalize()


def _choice(offered: choosing.Choices, *, required: bool) -> forms.TypedChoiceField:
    choices = list(offered)
    values = {str(value): value for value, _ in choices}
    return forms.TypedChoiceField(
        choices=[*([] if required else NOT_GIVEN), *choices],
        coerce=values.__getitem__,
        empty_value=None,
        required=required,
    )


def _listed(described: Mapping[str, Any], *, nullable: bool) -> choosing.Choices | None:
    match described:
        case {"enum": [*values]}:
            return [(value, str(value)) for value in values]
        case {"const": value}:
            return [(value, str(value))]
        case {"type": "boolean"} if nullable:
            return [(True, "yes"), (False, "no")]
    return None


def _field(described: Mapping[str, Any], faults: Faults, *, required: bool) -> forms.Field:
    least, most = described.get("minimum"), described.get("maximum")
    match described:
        case {"type": "integer"}:
            return forms.IntegerField(required=required, min_value=least, max_value=most)
        case {"type": "number"}:
            return forms.FloatField(required=required, min_value=least, max_value=most)
        case {"type": "boolean"}:
            return forms.BooleanField(required=False)
        case {"type": "string"}:
            return Text(
                required=required,
                widget=forms.Textarea(attrs={"rows": 3}),
                strip=False,
                min_length=described.get("minLength"),
                max_length=described.get("maxLength"),
            )
    return Json(faults=faults, required=required)


def _make_room(field: forms.Field) -> None:
    if isinstance(field.widget, forms.Textarea):
        lines = str(field.prepare_value(field.initial) or "").count("\n")
        field.widget.attrs["rows"] = min(max(lines + 2, 3), _MOST_ROWS)
