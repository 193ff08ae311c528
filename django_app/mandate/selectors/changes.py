"""What a person changed in the arguments of a call."""

from collections.abc import Iterator

from pydantic import JsonValue

from shared_schemas import json_values
from shared_schemas.runs import Change


def between(before: JsonValue, after: JsonValue) -> list[Change]:
    """Return the places that differ, each as deep as both texts have it."""
    return list(_between("", before, after))


def _between(pointer: str, before: JsonValue, after: JsonValue) -> Iterator[Change]:
    if json_values.canonical(before) == json_values.canonical(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_members(pointer, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_members(pointer, _by_place(before), _by_place(after))
    else:
        yield Change(pointer=pointer, kind="changed", before=before, after=after)


def _of_members(pointer: str, before: dict[str, JsonValue], after: dict[str, JsonValue]) -> Iterator[Change]:
    for name in {**before, **after}:
        place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in after:
            yield Change(pointer=place, kind="removed", before=before[name])
        elif name not in before:
            yield Change(pointer=place, kind="added", after=after[name])
        else:
            yield from _between(place, before[name], after[name])


def _by_place(items: list[JsonValue]) -> dict[str, JsonValue]:
    return {str(place): item for place, item in enumerate(items)}
