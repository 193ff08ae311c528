"""What a benchmark found out, for people and for `.mandate/bench.json`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from stack import services

FILE = services.ROOT / ".mandate" / "bench.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    """The same of the raw floor, in the same rounds."""

    ratio: float | None = None
    """Of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure's ratio should be, or the figure itself where there is no floor."""

    limit: float
    kind: Literal["at most", "at least"]

    def is_met_by(self, figure: Figure) -> bool:
        judged = figure.value if figure.ratio is None else figure.ratio
        return judged <= self.limit if self.kind == "at most" else judged >= self.limit


Report = Callable[[Sequence[Figure]], None]
"""What a benchmark tells its figures, as soon as it has them."""


def compared(name: str, value: float, floor: float, *, unit: str) -> Figure:
    """Return a figure beside the floor's."""
    return Figure(
        name=name, value=round(value, 3), unit=unit, floor=round(floor, 3), ratio=round(value / floor, 3)
    )


def at_most(limit: float) -> Target:
    return Target(limit=limit, kind="at most")


def at_least(limit: float) -> Target:
    return Target(limit=limit, kind="at least")


def line(figure: Figure, target: Target | None) -> str:
    """Write a figure for a person, with its target and whether it is met."""
    measured = f"{figure.name:28} {figure.value:10.2f} {figure.unit:5}"
    if figure.floor is not None and figure.ratio is not None:
        measured += f" {figure.ratio:7.2f} of {figure.floor:.2f}"
    if target is None:
        return measured
    verdict = "" if target.is_met_by(figure) else "  MISSED"
    return f"{measured:70} {target.kind} {target.limit:g}{verdict}"


def keep(figures: Sequence[Figure], file: Path = FILE) -> None:
    """Write the figures among those of other benchmarks."""
    known = json.loads(file.read_text()) if file.exists() else []
    names = {figure.name for figure in figures}
    kept = [figure for figure in known if figure["name"] not in names]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([*kept, *map(asdict, figures)], indent=2) + "\n")


def show(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - it talks to a person on a terminal
