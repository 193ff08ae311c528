"""A form made of a graph's input schema: a field for each property, as far as a form has one for it."""

import uuid
from collections.abc import Mapping
from decimal import Decimal
from itertools import groupby
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractUser

from mandate import conf, exceptions, models
from mandate.selectors import agents, catalogue
from mandate.tools import choosing

_PREFIX = "input-"
NOT_GIVEN = [("", "not given")]
_MOST_PLACES = Decimal("0.0001")


class Start(forms.Form):
    """What a run is given, and the models that do it."""

    request_key = forms.CharField(widget=forms.HiddenInput, max_length=100)

    def __init__(
        self,
        data: Any,
        *,
        agent: models.Agent,
        schema: Mapping[str, Any],
        costs: Mapping[str, agents.UsualCost],
        user: AbstractUser,
    ) -> None:
        super().__init__(data, initial={"request_key": str(uuid.uuid4()), "models": [agent.default_model]})
        self.names = list(schema.get("properties", {}))
        required = set(schema.get("required", ()))
        for name, described in schema.get("properties", {}).items():
            resolved, needed = _resolved(described, schema), name in required
            offered = choosing.of(agent.graph, name, user=user)
            if offered is None:
                field = _field(resolved, required=needed)
            else:
                field = _offering(offered, resolved, required=needed)
            field.label = _label(name, described)
            field.help_text = described.get("description", "")
            field.initial = described.get("default")
            self.fields[_PREFIX + name] = field
        self.fields["models"] = forms.MultipleChoiceField(
            label="Models",
            choices=_choices(agent, costs),
            widget=forms.CheckboxSelectMultiple,
            help_text="Several are compared: each gets a run of its own.",
        )

    def given(self) -> dict[str, Any]:
        """Return the input; what was left empty is not in it, and gets the graph's own default."""
        values = {name: self.cleaned_data[_PREFIX + name] for name in self.names}
        return {name: value for name, value in values.items() if value is not None and value != ""}

    def chosen_models(self) -> list[str]:
        """Return at least one."""
        chosen: list[str] = self.cleaned_data["models"]
        return chosen

    def key(self) -> str:
        """Return what tells a form that is sent twice from two that are alike."""
        key: str = self.cleaned_data["request_key"]
        return key

    def refuse(self, refusal: exceptions.MandateError) -> None:
        """Show a refusal at the fields it names, or else above them all."""
        places = getattr(refusal, "errors", [])
        if not places:
            self.add_error(None, refusal.detail)
        for place in places:
            name = _PREFIX + place.pointer.strip("/").rpartition("/")[2]
            self.add_error(name if name in self.fields else None, place.detail)


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


def _offering(
    offered: choosing.Choices, described: Mapping[str, Any], *, required: bool
) -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        choices=[*([] if required else NOT_GIVEN), *offered],
        coerce=int if described.get("type") == "integer" else str,
        empty_value=None,
        required=required,
    )


def _field(described: Mapping[str, Any], *, required: bool) -> forms.Field:
    least, most = described.get("minimum"), described.get("maximum")
    match described:
        case {"enum": [*values]}:
            return _offering([(value, str(value)) for value in values], described, required=required)
        case {"type": "integer"}:
            return forms.IntegerField(required=required, min_value=least, max_value=most)
        case {"type": "number"}:
            return forms.FloatField(required=required, min_value=least, max_value=most)
        case {"type": "boolean"}:
            return forms.BooleanField(required=False)
        case {"type": "string"}:
            return forms.CharField(
                required=required,
                widget=forms.Textarea(attrs={"rows": 3}),
                min_length=described.get("minLength"),
                max_length=described.get("maxLength"),
            )
    return forms.JSONField(required=required)


def _choices(agent: models.Agent, costs: Mapping[str, agents.UsualCost]) -> list[Any]:
    """Return the models that are switched on by provider; without a catalogue, those with a price."""
    known = {name: entry.provider for name, entry in catalogue.entries().items() if entry.enabled}
    if not known:
        known = dict.fromkeys({agent.default_model, *conf.settings().model_prices}, "")
    ordered = sorted(known.items(), key=lambda item: (item[1], item[0]))
    groups = [
        (provider, [(name, _named(name, costs)) for name, _ in named])
        for provider, named in groupby(ordered, key=lambda item: item[1])
    ]
    return groups if groups[0][0] else groups[0][1]


def _named(name: str, costs: Mapping[str, agents.UsualCost]) -> str:
    if name not in costs:
        return name
    known = costs[name]
    return f"{name}, about {known.average.quantize(_MOST_PLACES)} by {known.runs} finished"
