"""A form made of a graph's input schema: a field for each property, as far as a form has one for it."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractUser
from django.utils.html import format_html

from mandate import conf, exceptions, models
from mandate.pages import schema_fields
from mandate.selectors import agents, catalogue
from mandate.tools import choosing
from shared_schemas.problems import ErrorCode

_PREFIX = "input-"
_MOST_PLACES = Decimal("0.0001")
_SIZE = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_PROVIDERS: dict[str, str] = dict(models.CatalogueModel.Provider.choices)


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
        # The fields of the input come before the models, whose words depend on them.
        super().__init__(data, initial={"request_key": str(uuid.uuid4()), "models": [agent.default_model]})
        made = schema_fields.of(schema, offer=lambda name: choosing.of(agent.graph, name, user=user))
        self.names = list(made)
        self.fields |= {_PREFIX + name: field for name, field in made.items()}
        self.costs = costs
        self.size_name = choosing.size_of(agent.graph)
        if self.size_name in made:
            made[self.size_name].widget.attrs["data-size"] = ""
        self.fields["models"] = forms.MultipleChoiceField(
            label="Models",
            choices=model_choices(agent.default_model, described=self._described),
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

    def estimate(self) -> "Estimate":
        """Return what the runs would cost, as far as earlier ones tell."""
        chosen = self["models"].value() or []
        known = [self.costs[name].each * self._size() for name in chosen if name in self.costs]
        return Estimate(
            total=sum(known, Decimal(0)).quantize(_MOST_PLACES) if known else None,
            unknown=[name for name in chosen if name not in self.costs],
        )

    def key(self) -> str:
        """Return what tells a form that is sent twice from two that are alike."""
        key: str = self.cleaned_data["request_key"]
        return key

    def refuse(self, refusal: exceptions.MandateError) -> None:
        """Show a refusal at the fields it names, or else above them all."""
        places = [schema_fields.place_of(place) for place in getattr(refusal, "errors", [])]
        if refusal.code is ErrorCode.UNKNOWN_MODEL:
            self.add_error("models", refusal.detail)
        elif not places:
            self.add_error(None, refusal.detail)
        for name, detail in places:
            self.add_error(_PREFIX + name if name in self.names else None, detail)

    def _size(self) -> int:
        if self.size_name not in self.names:
            return 1
        asked = str(self[f"{_PREFIX}{self.size_name}"].value())
        return int(asked) if _SIZE.fullmatch(asked) else 1

    def _described(self, name: str) -> str:
        if name not in self.costs:
            return name
        known = self.costs[name]
        return format_html(
            '{} <span class="count" data-each="{}">about <span>{}</span> {}</span>',
            name,
            known.each,
            (known.each * self._size()).quantize(_MOST_PLACES),
            f"by {known.runs} finished" if known.runs else "by its price",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the chosen models' runs would cost."""

    total: Decimal | None
    """Of those models of which it is known; nothing where it is of none."""

    unknown: list[str]
    """The other models."""


def model_choices(default: str, *, described: Callable[[str], str] = str) -> list[Any]:
    """Return the models that are switched on by provider; without a catalogue, those with a price and `default`."""
    known = {name: entry.provider for name, entry in catalogue.entries().items() if entry.enabled}
    if not known:
        known = dict.fromkeys({default, *conf.settings().model_prices}, "")
    ordered = sorted(known.items(), key=lambda item: (item[1], item[0]))
    groups = [
        (_PROVIDERS.get(provider, provider), [(name, described(name)) for name, _ in named])
        for provider, named in groupby(ordered, key=lambda item: item[1])
    ]
    return groups if groups[0][0] else groups[0][1]
