"""What is wrong with a JSON value by the schema of the property that it is for, and where."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry

MOST_FAULTS = 5

_MOST_CHARACTERS = 200
_MESSAGES = '"#/$defs/HumanMessage"'


def of(value: Any, described: Mapping[str, Any], *, schema: Mapping[str, Any]) -> list[str]:
    """Return the first faults of a value of a property, each with the path to it inside the value.

    Messages of a conversation are not looked at: LangGraph takes them in more spellings than their schema has.
    """
    if _MESSAGES in json.dumps(described):
        return []
    whole = {**described, "$defs": schema.get("$defs", {})}
    # With a registry of its own nothing is fetched, whatever a schema refers to.
    validator = Draft202012Validator(whole, registry=Registry())
    found = sorted(
        validator.iter_errors(value), key=lambda fault: [str(step) for step in fault.absolute_path]
    )
    return [_told(fault) for fault in islice(found, MOST_FAULTS)]


def _told(fault: ValidationError) -> str:
    """Say what is wrong at the deepest place that a person can mend: of several kinds, with the nearest."""
    deepest = best_match([fault]) or fault
    path = "".join(f"/{step}" for step in deepest.absolute_path)
    detail = deepest.message
    if len(detail) > _MOST_CHARACTERS:
        detail = f"{detail[:_MOST_CHARACTERS]}…"
    return f"{path}: {detail}" if path else detail
