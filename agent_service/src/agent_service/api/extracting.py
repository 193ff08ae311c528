"""Parts of a thread by their paths: `values.messages[-1].content`."""

import re
from typing import Annotated, Any

from pydantic import Field

Path = Annotated[
    str,
    Field(max_length=200, pattern=r"^(values|metadata|interrupts|status)(\.[^.\[\]]+|\[-?\d{1,6}\])*$"),
]
"""Keys behind dots, places in a list in brackets."""

_STEP = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")


def extract(document: Any, path: str) -> Any:
    """Return what a path leads to, or nothing."""
    for key, place in _STEP.findall(path):
        if key and isinstance(document, dict):
            document = document.get(key)
        elif place and isinstance(document, list) and -len(document) <= int(place) < len(document):
            document = document[int(place)]
        else:
            return None
    return document
